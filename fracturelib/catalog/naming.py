"""What the names of folders and files say: the split, the class, and the radiograph behind a copy."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import PurePosixPath

from fracturelib.config import CLASS_NAMES
from fracturelib.images import IMAGE_SUFFIXES

UNKNOWN = -1  # label of a file that lies in no class folder
NO_SPLIT = "all"  # split of a file that lies in no split folder
# Names of class folders; the position is the label. "abnormal" is missing on purpose: where it is used, it also stands
# for plates, arthrosis and tumours. So are "0" and "1": they mean one thing here and the opposite there.
_CLASS_FOLDERS = (
    "not fractured, not fracture, non fractured, non fracture, no fracture, no fractures, unfractured, without "
    "fracture, not broken, non broken, unbroken, negative, neg, normal, normal bone, normal bones, healthy, intact",
    "fractured, fracture, fractures, fractured bone, fractured bones, bone fracture, bone fractures, with fracture, "
    "broken, broken bone, broken bones, positive, pos",
)
_SPLIT_FOLDERS = {"train": "train training trainset", "val": "val valid validation dev", "test": "test testing testset"}
CLASS_FOLDERS = {
    name.replace(" ", ""): label for label, names in enumerate(_CLASS_FOLDERS) for name in names.split(", ")
}
SPLIT_FOLDERS = {name: split for split, names in _SPLIT_FOLDERS.items() for name in names.split()}

_SUFFIXES = "|".join(re.escape(suffix.removeprefix(".")) for suffix in IMAGE_SUFFIXES)
# Marks of a copy at the end of a name; something must stand before them, or the name would be gone.
_MARKS = [
    r"[\s._-]+(?:rotat(?:ed?|ion)[\s._-]?\d*|rot[\s._-]?\d+)",  # -rotated2, _rot90
    r"[\s._-]+aug(?:ment(?:ed|ation)?)?[\s._-]?\d{0,3}",  # _aug3; not the August of "aug_2019"
    r"[\s._-]+(?:h|v|(?:horizontal|vertical)[\s._-]?)?flip(?:ped)?\d*",  # _hflip
    r"[\s._-]+mirror(?:ed)?",
    r"[\s._-]+copy(?:[\s._-]?\d{0,3}|[\s._-]*\(\d+\))",  # " copy", " - Copy (2)"
    r"[\s._-]*\.rf\.[0-9a-z]+",  # Roboflow's hash
    rf"[\s._-]*[._](?:{_SUFFIXES})",  # the extension that Roboflow and converters double
    r"[\s._-]+",
]
_NUMBERED = r"[\s._-]*\(\d+\)"  # "name (1)"
_COPY_MARK, _COPY_MARK_OR_NUMBER = (
    re.compile(rf"(?<=[^\s._-])(?:{'|'.join(marks)})$", re.IGNORECASE) for marks in (_MARKS, [*_MARKS, _NUMBERED])
)
_EXTENSION = re.compile(rf"\.(?:{_SUFFIXES})$", re.IGNORECASE)
# Words that name the kind of file or its class, and no radiograph. With or without a number they say nothing outside
# their folder: "57", "image (57)", "IMG_0012", "fractured3". "IMG0000480" is long enough to be a key.
_WORDS = {"image", "images", "img", "im", "xray", "xr", "radiograph", "scan", "pic", "picture", "photo", "file"}
_WORDS |= {"frame", *CLASS_FOLDERS, *SPLIT_FOLDERS}
_COUNTER = re.compile(r"(?P<word>\D*?)[\s._-]*\(?(?P<digits>\d*)\)?(?:[\s._-]*\(\d+\))?")
_LONGEST = 5  # digits of a counter; zeros before them count only behind a word


def class_name(label: int) -> str:
    """The class of a label, or "unknown"."""
    return "unknown" if label == UNKNOWN else CLASS_NAMES[label]


@cache
def class_label(folder: str) -> int | None:
    """0 or 1 for the name of a class folder ("Non_Fractured" → 0), None for any other name."""
    return CLASS_FOLDERS.get(plain(folder))


@cache
def split_name(folder: str) -> str | None:
    """train, val or test for the name of a split folder ("Validation" → val), None for any other name."""
    return SPLIT_FOLDERS.get(plain(folder))


def recognised_classes() -> str:
    """The recognised class folder names, for messages."""
    lines = [f"{name} - {known}" for name, known in zip(CLASS_NAMES, _CLASS_FOLDERS, strict=True)]
    return "\n    ".join([*lines, "(case, spaces, '-' and '_' do not matter)"])


def source_id_from_name(relative_path: str) -> str:
    """The name of the original radiograph behind a file.

    Marks of a copy are taken off the end of the name, in any order and number: `-rotated2`, `_aug3`,
    `_hflip`, ` copy`, ` (1)`, Roboflow's `.rf.<hash>` and the doubled extension before it. What remains is
    valid across splits and classes ("IMG0000480"), unless it is a mere counter: public sets number their files
    anew in every folder, so that "57" here and "57" there are different people, and the folder is put in front
    ("train/fractured/57"). Copies across folders are then found by their pixels. Folders below the class folder
    belong to the name.

    Args:
        relative_path: posix path relative to the data set's root, e.g.
            "train/fractured/57-rotated2-rotated3.jpg".
    """
    return _source_id(PurePosixPath(relative_path).as_posix(), numbered_copies=True)


def source_ids(relative_paths: Iterable[str]) -> list[str]:
    """`source_id_from_name` of all files of one set, knowing the others.

    A name with a number in brackets is a copy only if the set has the name without it. Otherwise the number
    is part of the name: renaming many files at once gives "wrist (1)", "wrist (2)", … to different
    radiographs.
    """
    paths = list(relative_paths)
    merged = [_source_id(path, numbered_copies=True) for path in paths]
    apart = [_source_id(path, numbered_copies=False) for path in paths]
    originals = {
        one for one, other in zip(merged, apart, strict=True) if one == other and not _is_word(one.split("/")[-1])
    }
    return [one if one in originals else other for one, other in zip(merged, apart, strict=True)]


def _source_id(relative_path: str, *, numbered_copies: bool) -> str:
    *folders, name = relative_path.split("/")
    stem = _original_stem(_EXTENSION.sub("", name), numbered_copies=numbered_copies)
    if _is_counter(stem):
        return "/".join([*folders, stem])
    if folders and split_name(folders[0]):
        folders = folders[1:]
    below = folders[1:] if folders and class_label(folders[0]) is not None else folders
    return "/".join([*below, stem])


def _is_counter(stem: str) -> bool:
    """A number that starts anew in every folder, alone or behind a word that names no radiograph."""
    parts = _COUNTER.fullmatch(stem)
    if parts is None or not (_is_word(parts["word"]) or not plain(parts["word"])):
        return False
    digits = parts["digits"] if parts["word"] else parts["digits"].lstrip("0")
    return len(digits) <= _LONGEST


def _is_word(stem: str) -> bool:
    return plain(stem) in _WORDS


def _original_stem(stem: str, *, numbered_copies: bool) -> str:
    """Take copy marks off the end until none is left."""
    mark = _COPY_MARK_OR_NUMBER if numbered_copies else _COPY_MARK
    stem, before = stem.strip(), None
    while stem != before:
        stem, before = mark.sub("", stem), stem
    return stem


def nfc(name: str) -> str:
    """A name as one of the two ways of writing an accented letter (Unicode NFC and NFD) writes it."""
    return unicodedata.normalize("NFC", name)


def plain(name: str) -> str:
    """A name without what people write differently: case, spaces, "_" and "-"."""
    return re.sub(r"[\s_-]+", "", name).casefold()
