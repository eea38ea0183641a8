"""What in a set may tell who somebody is: names and dates in file names, and letters that are burned into a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import cv2
import numpy as np
import pandas as pd

from fracturelib.catalog.naming import CLASS_FOLDERS, SPLIT_FOLDERS, plain
from fracturelib.writing.words import counted

_YEAR, _MONTH, _DAY = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
_DATE = re.compile(
    rf"(?<!\d)(?:{_YEAR}{_MONTH}{_DAY}|{_DAY}{_MONTH}{_YEAR}|{_YEAR}([-_.]){_MONTH}\1{_DAY}|{_DAY}([-_.]){_MONTH}\2{_YEAR})(?!\d)"
)
# Two words in capitals, or with a capital each, side by side: SMITH_JOHN, Smith^John, Smith, John.
_NAME = re.compile(r"(?<![A-Za-z])([A-ZÀ-Þ][A-Za-zÀ-ž'’]+)(?:\^|,\s*|[\s_-]+)([A-ZÀ-Þ][A-Za-zÀ-ž'’]+)(?![A-Za-z])")
_USUAL = """
image images img im xray xr ray radiograph radiographs scan pic picture photo file frame study series patient
pat subject case exam visit left right both frontal lateral oblique ap pa lat ll dx cr dr view axial wrist wri
hand forearm arm elbow shoulder humerus finger fingers thumb leg lower upper ankle foot feet toe knee femur
tibia fibula hip pelvis spine chest skull clavicle ulna radius bone bones fracture fractured fractures
comminuted greenstick healthy spiral transverse avulsion pathological impacted hairline displaced simple dataset
data set binary classification normal abnormal positive negative not non no with without rotated flipped copy
aug new old the of and dicom png jpg jpeg roboflow coco yolo part fold batch folder class classes label labels
test train val valid validation split raw simulated device machine clinic hospital ward emergency room center
centre
"""
_WORDS = frozenset(_USUAL.split())
DATE, NAME, TEXT = "date in the name", "name in the name", "letters in a corner"
_TOLD = {
    DATE: "with a date in the name of the file or its folders: rename them before anything is shared",
    NAME: "with what looks like a person's name in the name of the file or its folders: rename them before sharing",
    TEXT: "with what looks like burned-in text in a corner: look before sharing; of 60 radiographs with added text "
    "this finds 50, of 60 without it none was flagged, and small or faint text is missed",
}
LETTERS = 4  # glyphs in a row from which on a corner counts as text; "R", "L" and "AP" say a side and a view
_CORNER = (0.22, 0.5)  # height and width of a corner as shares of the picture
_SIDE = 480  # pixels of the longer side at which letters are looked for


def dates_and_names(paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """The paths that hold a date, and those that look as if they held a name; each part of a path is looked at."""
    dates = [path for path in paths if any(_DATE.search(part) for part in PurePosixPath(path).parts)]
    names = [path for path in paths if any(_holds_name(part) for part in PurePosixPath(path).parts)]
    return dates, names


def _holds_name(part: str) -> bool:
    if plain(part) in CLASS_FOLDERS or plain(part) in SPLIT_FOLDERS:
        return False
    return any(not {one.casefold(), other.casefold()} & _WORDS for one, other in _NAME.findall(part))


def masked(path: str) -> str:
    """The shape of a name, so that it can be shown: letters as x, digits as 9."""
    return re.sub(r"\d", "9", re.sub(r"[^\W\d_]", "x", PurePosixPath(path).name))


def letters_in_corners(pixels: np.ndarray) -> int:
    """The most glyphs in one row in a corner of a picture, uint8 (H, W); 0 where there are none.

    A glyph is a small connected patch that is much brighter or darker than the flat ground around it; glyphs of a
    row are of about one height and stand on one line, close together.
    """
    shrink = min(1.0, _SIDE / max(pixels.shape))
    if shrink < 1:
        pixels = cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    height, width = (max(8, round(share * side)) for share, side in zip(_CORNER, pixels.shape, strict=True))
    corners = (pixels[:height, :width], pixels[:height, -width:], pixels[-height:, :width], pixels[-height:, -width:])
    # Letters are bright on dark ground and dark on bright ground.
    return max(_longest_row(_glyphs(corner if np.median(corner) < 128 else 255 - corner)) for corner in corners)


def _glyphs(corner: np.ndarray) -> np.ndarray:
    """Left, top, width, height (N, 4) of the patches that may be letters."""
    ground = cv2.medianBlur(np.ascontiguousarray(corner), 31 if min(corner.shape) > 31 else 7)
    lifted = cv2.subtract(np.ascontiguousarray(corner), ground)
    contrast = max(40, int(lifted.max()) // 2)
    mask = (lifted > contrast).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = stats[1:]
    wide, high, area = boxes[:, 2], boxes[:, 3], boxes[:, 4]
    fits = (
        (high >= 5) & (high <= 40) & (wide <= 1.6 * high) & (area >= 0.12 * wide * high) & (area <= 0.9 * wide * high)
    )
    return boxes[fits | ((wide <= 3) & (high >= 6) & (high <= 40))][:, :4]  # an "I" fills its box


def _longest_row(glyphs: np.ndarray) -> int:
    """How many patches stand on one line, of one height, each close to the next."""
    best = 0
    for _, top, _, high in glyphs:
        foot = top + high
        same = np.abs(glyphs[:, 3] - high) <= max(2, 0.3 * high)
        line = glyphs[same & (np.abs(glyphs[:, 1] + glyphs[:, 3] - foot) <= max(1, 0.15 * high))]
        line = line[np.argsort(line[:, 0])]
        gaps = line[1:, 0] - (line[:-1, 0] + line[:-1, 2])
        run = longest = 1
        for gap in gaps:
            run = run + 1 if -1 <= gap <= 1.2 * high else 1
            longest = max(longest, run)
        best = max(best, longest)
    return best


def identity_table(paths: Sequence[str], letters: Sequence[float]) -> pd.DataFrame:
    """Columns path, sign of every file that may tell who somebody is; `letters` as `letters_in_corners` gives them."""
    dates, names = dates_and_names(paths)
    rows = [(path, DATE) for path in dates] + [(path, NAME) for path in names]
    rows += [(path, TEXT) for path, count in zip(paths, letters, strict=True) if count >= LETTERS]
    return pd.DataFrame(rows, columns=["path", "sign"])


def identity_notes(found: pd.DataFrame) -> list[str]:
    """One sentence for each kind of sign, without repeating what it found."""
    notes = []
    for sign, words in _TOLD.items():
        paths = found.loc[found["sign"] == sign, "path"]
        if len(paths):
            notes.append(f"IDENTITY: {counted(len(paths), 'file')} {words} (first: {masked(paths.iloc[0])}).")
    return notes
