"""What a page withholds from readers who cannot see or use a mouse, by axe-core."""

from __future__ import annotations

from typing import Any


def grave(page: Any, context: str | None = None) -> list[str]:
    """What axe-core calls serious or critical, in the whole page or below the selector `context`."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=context).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]
