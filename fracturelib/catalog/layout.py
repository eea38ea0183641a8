"""The layout `root/{train,val,test}/{fractured,not fractured}`: which files are where, and what is missing."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fracturelib.catalog.naming import class_label, recognised_classes, split_name
from fracturelib.config import CLASS_NAMES, SPLITS
from fracturelib.errors import CatalogError, DataWarning
from fracturelib.images import is_folder, is_visible, named_like_an_image, visible_files
from fracturelib.writing.words import counted, few, printable


def list_files(root: Path) -> pd.DataFrame:
    """Columns path (posix, relative to root), split and label of every visible file in the class folders.

    Raises:
        CatalogError: no such folder, nothing in it, no class folders, or one whose name is not recognised.
    """
    check_root(root)
    splits = [(folder, split) for folder in _folders(root) if (split := split_name(folder.name)) is not None]
    rows = [row for folder, split in splits or [(root, "test")] for row in _list_split(root, folder, split)]
    if not rows:
        raise layout_error("the data folder holds no files", root)
    _warn_of_strays(root, {path for path, _, _ in rows})
    return pd.DataFrame(rows, columns=["path", "split", "label"])


def check_root(root: Path) -> None:
    """Raise CatalogError unless the data set's folder is there, can be read and has a name that can be written."""
    if not is_folder(root):
        what = "the data folder is a file" if root.exists() else "the data folder does not exist"
        raise layout_error(what, root)
    if printable(str(root)) != str(root):
        what = "the name of the data folder is not UTF-8"
        raise CatalogError(what, file=printable(str(root)), cure="rename it: a run could not say where its data are")
    _children(root)


def is_flat(table: pd.DataFrame) -> bool:
    """True for a root with just the two class folders, without a split above them."""
    above = itertools.takewhile(lambda name: class_label(name) is None, table["path"].iloc[0].split("/")[:-1])
    return all(split_name(name) is None for name in above)


def check_splits(table: pd.DataFrame, root: Path, *, make_split: bool) -> None:
    """Every split has files; a flat root needs none, and val and test may be missing if they will be made."""
    missing = [split for split in SPLITS if split not in set(table["split"])]
    if not missing or is_flat(table):
        return
    if "train" in missing:
        raise layout_error("there is no training set: 'train' is missing or empty", root)
    if not make_split:
        named = " and ".join(f"'{split}'" for split in missing)
        cure = "use --make-split (make_split=True) to make it from train, by source; or use this layout"
        raise layout_error(f"{named} is missing or empty", root, cure=cure)


def check_classes(table: pd.DataFrame, root: Path, skipped: Sequence[dict[str, str]] = ()) -> None:
    """Every split that is there has usable files of both classes; `skipped` are those that are not usable."""
    if table.empty:
        raise unusable("not one file in the class folders is a usable image", root, skipped)
    for split, labels in table.groupby("split", sort=False)["label"]:
        if labels.nunique() < len(CLASS_NAMES):
            where = "the folder" if is_flat(table) else f"'{split}'"
            what = f"{where} has usable images of one class only: {CLASS_NAMES[labels.iloc[0]]}"
            raise unusable(what, root, skipped)


def unusable(what: str, root: Path, skipped: Sequence[dict[str, str]]) -> CatalogError:
    """A layout error, unless files that cannot be used are the likelier cause."""
    if not skipped:
        return layout_error(what, root, cure="add images of the other class, in this layout")
    named = few([f"{one['path']} ({one['problem']})" for one in skipped])
    cure = "convert these files to PNG, fetch them again, or allow to read them (chmod -R u+rX)"
    return CatalogError(what, file=root, cause=f"not usable as radiographs: {named}", cure=cure)


def layout_error(what: str, root: Path, *, cure: str = "use this layout") -> CatalogError:
    """An error that shows what was found and the expected tree."""
    two = ", ".join(f"{name}/" for name in reversed(CLASS_NAMES))
    tree = [f"{root.name or root}/", *(f"    {split + '/':7}with {two}" for split in SPLITS)]
    tree += [f"(a set that is only evaluated: just {two})"]
    inner = [child for child in _folders(root) if looks_like_a_set(child)] if is_folder(root) else []
    if inner:
        return CatalogError(what, file=root, cause=_found(root), cure=f"give the folder {inner[0]}")
    return CatalogError(what, file=root, cause=_found(root), cure="\n    ".join([cure, *tree]))


def _list_split(root: Path, folder: Path, split: str) -> list[tuple[str, str, int]]:
    """(path, split, label) of every file below one split folder; none where that is empty."""
    if not _children(folder):
        return []
    classes = [(child, class_label(child.name)) for child in _folders(folder)]
    unknown = [child.name for child, label in classes if label is None]
    if not classes or (folder == root and len(unknown) == len(classes)):
        raise layout_error(f"there are no class folders in '{folder.name or folder}'", root)
    if unknown:
        raise _unknown_classes(unknown, folder, all_of_them=len(unknown) == len(classes))
    files = [(file, label) for child, label in classes if label is not None for file in visible_files(child)]
    return [(file.relative_to(root).as_posix(), split, label) for file, label in files]


def _unknown_classes(names: Sequence[str], folder: Path, *, all_of_them: bool) -> CatalogError:
    """Folders without a class; where all are, they may well say something else: a region, a patient."""
    cause = f"its name is not among those that are recognised:\n    {recognised_classes()}"
    cure = f"rename it to '{CLASS_NAMES[1]}' or '{CLASS_NAMES[0]}', or move it out of the data folder"
    if all_of_them:
        cause = "these folders may stand for regions, patients or kinds of fracture; a class is known by these names:\n"
        cause += f"    {recognised_classes()}"
        cure = f"sort the images into two folders, '{CLASS_NAMES[1]}' and '{CLASS_NAMES[0]}' (links will do)"
    return CatalogError(f"unknown class folder: {few(names)}", file=folder, cause=cause, cure=cure)


def looks_like_a_set(folder: Path) -> bool:
    """Whether a folder is laid out as a data set, one level further down than it was looked for."""
    try:
        inside = [child.name for child in _folders(folder)]
    except CatalogError:
        return False
    return not split_name(folder.name) and any(split_name(name) or class_label(name) is not None for name in inside)


def _children(folder: Path) -> list[Path]:
    """The visible files and folders in a folder, sorted."""
    try:
        return sorted(child for child in folder.iterdir() if is_visible(child.name))
    except OSError as error:
        cause = "this user may not read it, or the disk is damaged"
        cure = "allow to read it (chmod -R u+rX), or take it out of the data folder"
        raise CatalogError(
            f"a folder cannot be read: {error.strerror or error}", file=folder, cause=cause, cure=cure
        ) from error


def _folders(folder: Path) -> list[Path]:
    return [child for child in _children(folder) if is_folder(child)]


def _found(root: Path) -> str:
    """What lies in a folder, and a hint where the data set is one level further down, as in many archives."""
    if not is_folder(root):
        return "a typing error in the path, or data that has not been fetched yet"
    names = [child.name + "/" * is_folder(child) for child in _children(root)]
    if not names:
        return "the folder is empty"
    lines = [f"the folder holds {few(names, 8)}"]
    for child in _folders(root):
        try:
            inside = [grandchild.name + "/" for grandchild in _folders(child)]
        except CatalogError:
            lines.append(f"{child.name}/ cannot be read")
            continue
        if split_name(child.name):
            lines.append(f"{child.name}/ holds {few(inside, 8) or 'no folders'}")
        elif looks_like_a_set(child):
            lines.append(f"{child.name}/ looks like the data set: try that folder")
    return "\n    ".join(lines)


def _warn_of_strays(root: Path, listed: set[str]) -> None:
    """Images beside the class folders are easily overlooked, by this reader as by the folder's owner."""
    images = filter(named_like_an_image, visible_files(root))
    strays = sorted({file.relative_to(root).as_posix() for file in images} - listed)
    if strays:
        text = f"not read, because outside the split and class folders: {counted(len(strays), 'image')}"
        warnings.warn(f"{text} ({few(strays)})", DataWarning, stacklevel=4)
