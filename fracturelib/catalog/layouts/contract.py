"""What every layout offers, and what it makes of a folder."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pandas as pd

from fracturelib.catalog.about import Meaning
from fracturelib.catalog.naming import NO_SPLIT, UNKNOWN, class_label, split_name
from fracturelib.catalog.options import DataOptions
from fracturelib.errors import CatalogError
from fracturelib.images import named_like_an_image, visible_files
from fracturelib.writing.words import counted

RAW_BOXES = ("path", "class", "fracture", "x", "y", "w", "h", "relative")


@dataclass(frozen=True)
class Listing:
    """What lies in a folder, before a picture is opened.

    Attributes:
        table: one row per file: path (posix, relative to the data folder), split ("all" where none is known), label
            (−1 unknown), and what else is known: `columns.WHO`, age, sex, source_id.
        said: what was found, in one line without the layout's name.
        boxes: columns `RAW_BOXES`; relative ones are centre and size as shares of the picture (YOLO), the others left,
            top, width and height in pixels.
        meaning: what label 1 stands for.
        skipped: files that are named somewhere and not there: {"path", "problem"}.
    """

    table: pd.DataFrame
    said: str
    boxes: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(RAW_BOXES)))
    meaning: Meaning = Meaning.FRACTURED
    skipped: tuple[dict[str, str], ...] = ()


class Layout(Protocol):
    """A module of this package that knows one kind of data set; `LAYOUTS` lists them.

    Attributes:
        NAME: as in `--layout NAME`.
        TITLE: for the reader: "read as TITLE".
    """

    NAME: str
    TITLE: str

    def fits(self, top: Path, options: DataOptions) -> bool:
        """Whether the folder looks like this layout."""
        ...

    def read(self, root: Path, top: Path, options: DataOptions) -> Listing:
        """List the files below `top`, which is `root` or lies in it.

        Raises:
            CatalogError: what the layout needs is missing or contradicts itself.
        """
        ...


def images_below(root: Path, top: Path) -> list[str]:
    """Posix paths, relative to `root`, of all that is named like an image below `top`; a DICOMDIR is none."""
    files = [file for file in visible_files(top) if named_like_an_image(file) and file.name.upper() != "DICOMDIR"]
    if not files:
        raise CatalogError("the data folder holds no images", file=root, cure="give the folder that they are in")
    return [file.relative_to(root).as_posix() for file in files]


def rows_for(paths: list[str]) -> pd.DataFrame:
    """A table of these paths with the split that folders above them name, and no label yet."""
    return pd.DataFrame({"path": paths, "split": [split_of(path) for path in paths], "label": UNKNOWN})


def split_of(path: str) -> str:
    """The split of the outermost folder that names one; "all" where none does."""
    named = (split_name(folder) for folder in path.split("/")[:-1])
    return next((split for split in named if split), NO_SPLIT)


def label_of(path: str) -> int:
    """The label of the innermost class folder; −1 where there is none."""
    named = (class_label(folder) for folder in reversed(path.split("/")[:-1]))
    return next((label for label in named if label is not None), UNKNOWN)


def missing_splits(table: pd.DataFrame) -> str:
    """ "it comes with train and val only", or "it comes without a split"; "" where all three are there."""
    have = [split for split in ("train", "val", "test") if split in set(table["split"])]
    if len(have) == 3:
        return ""
    return f"it comes with {' and '.join(have)} only" if have else "it comes without a split"


def counts_of(table: pd.DataFrame) -> str:
    """ "1,234 files; 600 fractured, 600 not, 34 unknown"."""
    labels = table["label"].value_counts()
    parts = [f"{labels.get(1, 0):,} fractured", f"{labels.get(0, 0):,} not"]
    parts += [f"{labels[UNKNOWN]:,} unknown"] if UNKNOWN in labels else []
    return f"{counted(len(table), 'file')}: {', '.join(parts)}"


def sentence(*parts: str) -> str:
    """The parts that say something, with semicolons between them."""
    return "; ".join(part for part in parts if part)
