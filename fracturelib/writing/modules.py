"""The ES modules that notebook, report and page share, each with what it imports, as one text."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib import resources

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+\.js)";\n', re.MULTILINE)


@cache
def bundle(name: str) -> str:
    """A module of ``writing/js`` after those that it imports, each once: it then needs no other file.

    A page that is opened from a disk may load no module from beside it, and neither may a notebook's widget.
    """
    texts: dict[str, str] = {}

    def add(module: str) -> None:
        text = read_asset(module)
        for needed in _IMPORT.findall(text):
            if needed not in texts:
                add(needed)
        texts[module] = _IMPORT.sub("", text)

    add(name)
    return "\n".join(texts.values())


def read_asset(name: str) -> str:
    """A file of ``writing/js``."""
    return resources.files("fracturelib.writing").joinpath("js", name).read_text(encoding="utf-8")


def script_policy(script: str) -> str:
    """The content security policy of a page that runs this one script and asks nothing of any network."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
