"""Runs as an earlier version wrote them."""

from __future__ import annotations

import json
from pathlib import Path


def as_first_format(folder: Path) -> None:
    """Turn a run into one of the first format, which knows neither hashes nor pictures nor places."""
    record = json.loads((folder / "config.json").read_text())
    for name in ("files", "sha256"):
        del record[name]
    del record["data"]["place"], record["weights"]["place"]
    (folder / "config.json").write_text(json.dumps(record | {"format": "fracturelib run 1"}))
    (folder / "pictures.safetensors").unlink()
