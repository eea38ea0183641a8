"""Boxes as detection sets keep them: COCO (json), YOLO (txt) and Pascal VOC (xml)."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from fracturelib.catalog.layouts.contract import RAW_BOXES
from fracturelib.errors import CatalogError

Box = tuple[str, float, float, float, float]  # class, then four numbers


def coco_boxes(file: Path) -> dict[str, list[Box]]:
    """Boxes in pixels by file name, [] for a picture that is listed without any.

    Raises:
        CatalogError: it is no COCO file.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        classes = {one["id"]: str(one["name"]) for one in content["categories"]}
        names = {one["id"]: str(one["file_name"]).replace("\\", "/") for one in content["images"]}
        found: dict[str, list[Box]] = {name: [] for name in names.values()}
        for one in content["annotations"]:
            x, y, w, h = map(float, one["bbox"])
            found[names[one["image_id"]]].append((classes[one["category_id"]], x, y, w, h))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _broken(file, "COCO annotations (images, annotations, categories)", error) from error
    return found


def is_coco(file: Path) -> bool:
    """Whether a json file's content has the three parts of COCO."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"images", "annotations", "categories"} <= set(content)


def yolo_boxes(file: Path, classes: list[str]) -> list[Box]:
    """Boxes as shares of the picture: class, centre, size; of a polygon the box around it.

    Raises:
        CatalogError: a line is no box.
    """
    found: list[Box] = []
    try:
        for line in file.read_text(encoding="utf-8-sig").splitlines():
            if line.strip():
                number, *values = map(float, line.split())
                if len(values) not in (4, 5) and (len(values) < 6 or len(values) % 2):
                    raise ValueError(f"{len(values)} numbers after the class")
                found.append((_class_of(int(number), classes), *_around(values)))
    except (OSError, ValueError) as error:
        raise _broken(file, "YOLO boxes (class, centre, size)", error) from error
    return found


def _around(values: list[float]) -> tuple[float, float, float, float]:
    """Centre and size, also of a polygon x1 y1 x2 y2 …; a fifth number is how sure a network was."""
    if len(values) in (4, 5):
        return values[0], values[1], values[2], values[3]
    across, down = values[::2], values[1::2]
    low, high = (min(across), min(down)), (max(across), max(down))
    return (low[0] + high[0]) / 2, (low[1] + high[1]) / 2, high[0] - low[0], high[1] - low[1]


def _class_of(number: int, classes: list[str]) -> str:
    return classes[number] if 0 <= number < len(classes) else str(number)


def voc_boxes(file: Path) -> list[Box]:
    """Boxes in pixels.

    Raises:
        CatalogError: it is no Pascal VOC file.
    """
    try:
        top = ElementTree.fromstring(file.read_text(encoding="utf-8-sig"))
        return [_voc_box(one) for one in top.iter("object")]
    except (OSError, ValueError, TypeError, ElementTree.ParseError) as error:
        raise _broken(file, "Pascal VOC boxes", error) from error


def _voc_box(thing: ElementTree.Element) -> Box:
    x, y, right, low = (float(thing.findtext(f"bndbox/{name}", "")) for name in ("xmin", "ymin", "xmax", "ymax"))
    return thing.findtext("name", ""), x, y, right - x, low - y


def yaml_classes(file: Path) -> list[str]:
    """The list `names` of a data.yaml, in either of its three ways of writing; [] where there is none."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return []
    inline = re.search(r"^names:\s*([\[{].*?[\]}])", text, re.MULTILINE | re.DOTALL)
    if inline:
        return _inline(inline[1])
    block = re.search(r"^names:[ \t]*(?:#.*)?\n((?:[ \t]+\S.*\n?|-.*\n?|[ \t]*\n)+)", text + "\n", re.MULTILINE)
    lines = block[1].splitlines() if block else []
    entries = [re.sub(r"^\s*(?:-|\d+\s*:)\s*", "", line).split(" #")[0].strip() for line in lines if line.strip()]
    return [entry.strip("'\"") for entry in entries]


def _inline(text: str) -> list[str]:
    """['a', 'b'], [a, b] or {0: a, 1: b}."""
    try:
        value = ast.literal_eval(text)
        return [str(name) for name in (value.values() if isinstance(value, dict) else value)]
    except (ValueError, SyntaxError):
        parts = (part.strip() for part in text.strip("[]{}").split(","))
        return [re.sub(r"^\d+\s*:\s*", "", part).strip("'\" \n") for part in parts if part]


def raw_boxes(found: Iterator[tuple[str, Box, bool]], fractures: Any) -> pd.DataFrame:
    """The table `RAW_BOXES` of (path, box, whether it is relative); `fractures(class)` says what shows a fracture."""
    rows = [(path, box[0], fractures(box[0]), *box[1:], relative) for path, box, relative in found]
    return pd.DataFrame(rows, columns=list(RAW_BOXES))


def _broken(file: Path, what: str, error: Exception) -> CatalogError:
    reason = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())[:150]
    cure = "fetch it again, or take it out of the folder"
    return CatalogError(f"these are no {what}: {reason}", file=file, cure=cure)
