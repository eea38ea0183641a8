"""What a table of a data set knows about how it was read: kept beside the rows, whatever is selected from them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import pandas as pd

from fracturelib.catalog.selecting import BOX

BOX_COLUMNS = ("path", "class", "fracture", *BOX)


class Meaning(StrEnum):
    """What label 1 stands for in a set."""

    FRACTURED = "fractured"
    ABNORMAL_STUDY = "abnormal study"


def no_boxes() -> pd.DataFrame:
    """A table of boxes without a row."""
    return pd.DataFrame(columns=list(BOX_COLUMNS))


@dataclass(frozen=True, eq=False)
class About:
    """How a data set was read.

    Attributes:
        layout: its layout's name.
        said: the line that tells the reader what was found, and what was decided.
        meaning: what label 1 stands for.
        boxes: one row per annotated box: path, class, fracture (bool), then left, top, width, height in pixels.
        unlabelled: files of unknown label that were left out.
    """

    layout: str = ""
    said: tuple[str, ...] = ()
    meaning: Meaning = Meaning.FRACTURED
    boxes: pd.DataFrame = field(default_factory=no_boxes)
    unlabelled: int = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> About:
        """Itself: pandas copies what belongs to a table at every step, and this never changes."""
        return self

    def saying(self, *more: str) -> About:
        """The same with further sentences."""
        return replace(self, said=(*self.said, *more))


class Skipped(list[dict[str, str]]):
    """Files that were left out, {"path", "problem", "kind"}: 200,000 of them must not be copied at every step."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Skipped:
        """Itself, as of `About`."""
        return self


def about(table: pd.DataFrame) -> About:
    """What the table knows about how it was read; nothing for one that was made otherwise."""
    return table.attrs.get("about", About())


def boxes_of(table: pd.DataFrame) -> pd.DataFrame:
    """The boxes of the table's files, as `About.boxes`."""
    boxes = about(table).boxes
    return boxes[boxes["path"].isin(set(table["path"]))].reset_index(drop=True)


def fracture_boxes(table: pd.DataFrame) -> dict[str, list[tuple[float, ...]]]:
    """Left, top, width, height of every box of a fracture, by path; empty where the table came without boxes."""
    boxes = boxes_of(table)
    broken = boxes[boxes["fracture"].astype(bool)]
    found: dict[str, list[tuple[float, ...]]] = {}
    for path, *box in broken[["path", *BOX]].itertuples(index=False):
        found.setdefault(path, []).append(tuple(map(float, box)))
    return found
