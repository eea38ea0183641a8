"""Folders named after several classes (kinds of fractures, findings), of which the user says what they mean."""

from __future__ import annotations

from pathlib import Path

from fracturelib.catalog.labels import EXAMPLE, Classes, unknown_words
from fracturelib.catalog.layouts.contract import Listing, counts_of, images_below, missing_splits, rows_for, sentence
from fracturelib.catalog.naming import UNKNOWN, split_name
from fracturelib.catalog.options import DataOptions
from fracturelib.catalog.who import who_from_paths
from fracturelib.errors import CatalogError

NAME, TITLE = "classes", "folders of several classes"


def fits(top: Path, options: DataOptions) -> bool:
    """The user says what classes mean, and a folder, or one in a split, has such a name."""
    given = Classes(options.classes).given
    if not given:
        return False
    found = [folder for folder in top.glob("*") if folder.is_dir()]
    found += [inner for folder in found if split_name(folder.name) for inner in folder.glob("*")]
    return any(folder.is_dir() and Classes(options.classes).of_folder(folder.name) is not None for folder in found)


def read(root: Path, top: Path, options: DataOptions) -> Listing:
    """The class of a file is that of the innermost folder with a known name; its folder's name is kept as `finding`.

    Raises:
        CatalogError: no mapping, or a folder that is not in it.
    """
    classes = Classes(options.classes)
    if not classes:
        raise CatalogError("what these classes mean is yours to say", file=root, cure=f"name them, as in {EXAMPLE}")
    table = rows_for(images_below(root, top))
    below = len(top.relative_to(root).parts)
    found = [_class_of(path.split("/")[below:-1], classes) for path in table["path"]]
    strange = sorted({name for name, label in found if label is None})
    if strange:
        raise unknown_words(strange, "the folder of class folders", root)
    table["label"] = [UNKNOWN if label is None else label for _, label in found]
    table["finding"] = [name for name, _ in found]
    kinds = table.groupby("finding")["label"].first()
    names = [f"{name} → {('unknown', 'not', 'fractured')[label + 1]}" for name, label in kinds.items()]
    said = sentence(f"{', '.join(names)}; {counts_of(table)}", missing_splits(table))
    return Listing(table.drop(columns="finding").join(who_from_paths(table["path"])), said)


def _class_of(folders: list[str], classes: Classes) -> tuple[str, int | None]:
    """The name of the class folder and its label; the outermost folder that is no split where none is known."""
    for folder in reversed(folders):
        label = classes.of_folder(folder)
        if label is not None:
            return folder, label
    return next((folder for folder in folders if split_name(folder) is None), "the top folder"), None
