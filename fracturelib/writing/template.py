"""What all HTML pages share: how a template is filled in, and how bytes are carried inside a page."""

from __future__ import annotations

import base64
from typing import Any

import jinja2

from fracturelib.writing.palette import CLASS_COLOURS


def fill_in(template: str, **context: Any) -> str:
    """A template of the package, for example "report/page_template.html", filled in; every text is escaped.

    It knows the `colours` of the two classes besides.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("fracturelib", ""), autoescape=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(template).render(colours=CLASS_COLOURS, **context)


def data_uri(data: bytes, kind: str) -> str:
    """A picture of the media type `kind` as text for an `img` element, so that the page needs no other file."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
