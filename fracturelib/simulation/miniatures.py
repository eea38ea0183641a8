"""Small copies of the layouts in which public and hospital sets come: names and columns as there, pictures simulated.

They show how a set is read without downloading it. No picture of the sets themselves is in them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from fracturelib.config import SPLITS
from fracturelib.errors import FracturelibError
from fracturelib.simulation.devices import shifted_device
from fracturelib.simulation.formats import check_format, write_picture
from fracturelib.simulation.patient import draw_patient
from fracturelib.simulation.picture import SimulatedRadiograph, take_radiograph
from fracturelib.simulation.plan import File, Job, jobs, make_plan

PATIENTS = {"train": 16, "val": 6, "test": 6}
SIDE = 96  # pixels
TRUTH = ("path", "split", "label", "patient", "study", "view")
_DEEP = 32_767  # GRAZPEDWRI-DX uses a part of its 16 bits only


@dataclass(frozen=True)
class Shot:
    """One view of one patient; `number` counts patients from 1, `turn` the views of a patient from 1."""

    split: str
    number: int
    turn: int
    fractured: bool
    radiograph: SimulatedRadiograph
    job: Job

    @property
    def grey(self) -> np.ndarray:
        """uint8 (H, W)."""
        return np.round(np.asarray(self.radiograph.grey) * 255).astype(np.uint8)

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """Left, top, width, height of the fracture in pixels."""
        return self.radiograph.bbox if self.fractured else None


def make_miniature(name: str, folder: str | Path) -> pd.DataFrame:
    """Write the miniature of a layout into a folder that is empty or absent.

    Returns:
        What a reader should find, one row per picture: path (posix, relative to the folder), split ("" where the set
        does not say), label (1, 0, −1 unknown), patient and study ("" where unknown; any text that tells them apart),
        view ("" where unknown).

    Raises:
        FracturelibError: no such miniature, the folder holds something, or pydicom is missing.
    """
    folder = Path(folder)
    if name not in MINIATURES:
        raise FracturelibError(f"there is no miniature '{name}'", cure=f"choose one of {', '.join(MINIATURES)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FracturelibError("the folder holds something already", file=folder, cure="choose an empty one")
    if name == "dicom":
        check_format("dicom")
    folder.mkdir(parents=True, exist_ok=True)
    return pd.DataFrame(MINIATURES[name](folder), columns=list(TRUTH))


@cache
def shots() -> tuple[Shot, ...]:
    """Two views each of 28 patients, 2 of 5 with a fracture."""
    plan = make_plan(counts={split: 2 * max(count, 10) for split, count in PATIENTS.items()}, image_side=SIDE)
    found, number, taken = [], 0, dict.fromkeys(SPLITS, 0)
    for job in jobs(plan):
        split = job.files[0].split
        if taken[split] == PATIENTS[split]:
            continue
        taken[split] += 1
        number += 1
        patient = draw_patient(job.entropy, job.setting, fractured=job.fractured)
        for turn, file in enumerate(job.files, 1):
            radiograph = take_radiograph(patient, file.view, device=shifted_device(0.0), image_side=SIDE)
            found.append(Shot(split, number, turn, job.fractured, radiograph, job))
    return tuple(found)


_Truth = Iterator[tuple[str, str, int, str, str, str]]


def _folders(folder: Path) -> _Truth:
    """Counters that begin anew in every folder."""
    for split in SPLITS:
        for label, name in enumerate(("not fractured", "fractured")):
            chosen = [shot for shot in shots() if shot.split == split and shot.fractured == bool(label)]
            for count, shot in enumerate(chosen):
                path = f"{split}/{name}/{count}.png"
                _save(folder / path, shot.grey)
                yield path, split, label, "", "", ""


def _mura(folder: Path) -> _Truth:
    """Train and valid only; label, patient and study in the path, and two tables without a header."""
    top = "MURA-v1.1"
    rows: dict[str, dict[str, list[Any]]] = {
        "train": {"paths": [], "studies": []},
        "valid": {"paths": [], "studies": []},
    }
    for shot in shots():
        split = "valid" if shot.split == "val" else "train"
        region = "XR_WRIST" if shot.number % 2 else "XR_HAND"
        kind = "positive" if shot.fractured else "negative"
        study = f"{top}/{split}/{region}/patient{shot.number:05d}/study1_{kind}"
        path = f"{study}/image{shot.turn}.png"
        _save(folder / path, shot.grey)
        rows[split]["paths"].append([path])
        if shot.turn == 1:
            rows[split]["studies"].append([study + "/", int(shot.fractured)])
        patient = f"patient{shot.number:05d}"
        yield path, "val" if split == "valid" else "train", int(shot.fractured), patient, patient, ""
    for split, tables in rows.items():
        _write_csv(folder / top / f"{split}_image_paths.csv", tables["paths"])
        _write_csv(folder / top / f"{split}_labeled_studies.csv", tables["studies"])


_FRACATLAS = [
    "image_id",
    "hand",
    "leg",
    "hip",
    "shoulder",
    "mixed",
    "hardware",
    "multiscan",
    "fractured",
    "fracture_count",
    "frontal",
    "lateral",
    "oblique",
]


def _fracatlas(folder: Path) -> _Truth:
    """Folders and a table; split lists of the fractured pictures; boxes in COCO, VOC and YOLO."""
    table, lists = [], {"train": [["image_id"]], "valid": [["image_id"]], "test": [["image_id"]]}
    boxed: list[tuple[str, Shot]] = []
    notes = folder / "Annotations"
    for place, shot in enumerate(shots()):
        name = f"IMG{place:07d}.jpg"
        path = f"images/{'Fractured' if shot.fractured else 'Non_fractured'}/{name}"
        _save(folder / path, shot.grey)
        frontal = int(shot.turn == 1)
        hand = int(shot.job.setting.region in ("hand", "wrist", "forearm"))
        broken = int(shot.fractured)
        table.append([name, hand, 1 - hand, 0, 0, 0, 0, 0, broken, broken, frontal, 1 - frontal, 0])
        if shot.fractured:
            lists["valid" if shot.split == "val" else shot.split].append([name])
            boxed.append((name, shot))
        _write_text(notes / "YOLO" / f"IMG{place:07d}.txt", _yolo(shot, 0))
        _write_text(notes / "PASCAL VOC" / f"IMG{place:07d}.xml", _voc(name, shot))
        yield path, shot.split if shot.fractured else "", broken, "", "", "frontal" if frontal else "lateral"
    _write_csv(folder / "dataset.csv", [_FRACATLAS, *table])
    for split, rows in lists.items():
        _write_csv(folder / "Utilities" / "Fracture Split" / f"{split}.csv", rows)
    _write_text(notes / "COCO JSON" / "COCO_fracture_masks.json", _coco(boxed, "fractured"))


_GRAZ = [
    "filestem",
    "patient_id",
    "study_number",
    "timehash",
    "gender",
    "age",
    "laterality",
    "projection",
    "initial_exam",
    "ao_classification",
    "cast",
    "diagnosis_uncertain",
    "osteopenia",
    "fracture_visible",
    "metal",
    "pixel_spacing",
    "device_manufacturer",
]
_GRAZ_CLASSES = [
    "boneanomaly",
    "bonelesion",
    "foreignbody",
    "fracture",
    "metal",
    "periostealreaction",
    "pronatorsign",
    "softtissue",
    "text",
]


def _grazpedwri(folder: Path) -> _Truth:
    """16-bit pictures in two parts, a table in which empty means no, YOLO boxes of nine classes."""
    rows = []
    for shot in shots():
        side, sex, age = "LR"[shot.number % 2], "MF"[shot.number // 2 % 2], 4 + shot.number % 12
        stamp = 1297860395 + 997 * shot.number
        stem = f"{shot.number:04d}_{stamp}_01_WRI-{side}{shot.turn}_{sex}{age:03d}"
        path = f"images_part{1 + shot.number % 2}/{stem}.png"
        _save(folder / path, np.round(np.asarray(shot.radiograph.grey) * _DEEP).astype(np.uint16))
        visible, unsure = ("1", "") if shot.fractured else ("", "1" if shot.number % 9 == 0 else "")
        about = [sex, age, side, shot.turn, "1", "23r-M/2.1" if shot.fractured else ""]
        rows.append([stem, shot.number, 1, stamp, *about, "", unsure, "", visible, "", 0.144, "Siemens"])
        text = f"{_GRAZ_CLASSES.index('text')} 0.1 0.1 0.05 0.05\n"
        labels = folder / "folder_structure" / "yolov5" / "labels"
        _write_text(labels / f"{stem}.txt", text + _yolo(shot, _GRAZ_CLASSES.index("fracture")))
        patient = f"{shot.number:04d}"
        yield path, "", int(shot.fractured), patient, f"{patient}_1", str(shot.turn)
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate(_GRAZ_CLASSES))
    _write_text(folder / "folder_structure" / "yolov5" / "meta.yaml", f"nc: 9\nnames:\n{names}\n")
    _write_csv(folder / "dataset.csv", [_GRAZ, *rows])


def _yolo_export(folder: Path) -> _Truth:
    """A Roboflow export: augmented copies, an empty label file means none, and a few pictures have no label file."""
    for place, shot in enumerate(shots()):
        split = "valid" if shot.split == "val" else shot.split
        unlabelled = place % 17 == 5
        for copy in range(2 if split == "train" and place % 3 == 0 else 1):
            stem = f"wrist-{place:03d}_jpg.rf.{place * 7919 + copy:032x}"
            path = f"{split}/images/{stem}.jpg"
            _save(folder / path, shot.grey[:, ::-1] if copy else shot.grey)
            if not unlabelled:
                _write_text(folder / split / "labels" / f"{stem}.txt", _yolo(shot, 1, mirrored=copy == 1))
            yield path, shot.split, -1 if unlabelled else int(shot.fractured), "", "", ""
    yaml = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: ['metal', 'fracture']\n"
    _write_text(folder / "data.yaml", yaml)


def _coco_export(folder: Path) -> _Truth:
    """A Roboflow export with one COCO file per split."""
    for split in SPLITS:
        shown = []
        where = "valid" if split == "val" else split
        for place, shot in enumerate(shot for shot in shots() if shot.split == split):
            name = f"arm-{split}-{place:03d}_jpg.rf.{place * 104729:032x}.jpg"
            _save(folder / where / name, shot.grey)
            unlisted = place % 13 == 4
            shown += [] if unlisted else [(name, shot)]
            yield f"{where}/{name}", split, -1 if unlisted else int(shot.fractured), "", "", ""
        _write_text(folder / where / "_annotations.coco.json", _coco(shown, "Fracture"))


CLASSES = "fractured=Comminuted,Greenstick,Spiral; not fractured=Healthy"  # of the miniature "classes"


def _classes(folder: Path) -> _Truth:
    """Folders of three kinds of fractures and of none, without a split."""
    for place, shot in enumerate(shots()):
        kind = ("Comminuted", "Greenstick", "Spiral")[shot.number % 3] if shot.fractured else "Healthy"
        path = f"{kind}/{kind.lower()}_{place:03d}.png"
        _save(folder / path, shot.grey)
        yield path, "", int(shot.fractured), "", "", ""


COLUMNS = (
    "path=Bild,label=Fraktur,patient=Fallnummer"  # of the miniature "table"; its other columns speak for themselves
)


def _table(folder: Path) -> _Truth:
    """A German spreadsheet: semicolons, Windows-1252, words of its own; it lies beside the pictures."""
    rows = [["Bild", "Fraktur", "Fallnummer", "Study ID", "View", "Gerät", "Set"]]
    for place, shot in enumerate(shots()):
        path = f"Röntgen/{shot.number:03d}/aufnahme{shot.turn}.png"
        _save(folder / path, shot.grey)
        patient, view = f"F-{4711 + shot.number}", "AP" if shot.turn == 1 else "LAT"
        split = {"train": "Training", "val": "Validation", "test": "Test"}[shot.split]
        windows = path.replace("/", "\\")
        rows.append(
            [windows, "ja" if shot.fractured else "nein", patient, f"U{shot.number}", view, f"Raum {place % 2}", split]
        )
        yield path, shot.split, int(shot.fractured), patient, f"U{shot.number}", view
    _write_csv(folder / "Befunde.csv", rows, separator=";", encoding="cp1252")


DICOM_LABELS = "labels.csv"  # of the miniature "dicom", by accession number


def _dicom(folder: Path) -> _Truth:
    """A PACS export: files without a suffix below patient and study, one report among them, labels by accession."""
    rows, seen = [["Accession Number", "Diagnosis"]], set()
    for place, shot in enumerate(shots()):
        file = shot.job.files[shot.turn - 1]
        path = f"DICOM/{shot.number:08d}/{shot.turn:02d}/IM{place:06d}"
        _write_dicom(folder / path, shot, file)
        if shot.number not in seen:
            seen.add(shot.number)
            rows.append([_accession(shot), "fracture" if shot.fractured else "normal"])
        view = "AP" if file.view == "frontal" else "LL"
        yield path, "", int(shot.fractured), shot.job.patient_id, str(shot.number), view
    _write_report(folder / "DICOM" / "00000001" / "01" / "SR000001")
    _write_csv(folder / DICOM_LABELS, rows)


def _write_dicom(path: Path, shot: Shot, file: File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, shot.radiograph, shot.job, file, "dicom")


def _accession(shot: Shot) -> str:
    from fracturelib.simulation.formats import accession_number

    return accession_number(shot.job)


def _write_report(path: Path) -> None:
    """A structured report without content, as they lie between the pictures."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, BasicTextSRStorage, ExplicitVRLittleEndian

    report = Dataset()
    report.SOPClassUID, report.SOPInstanceUID, report.Modality = BasicTextSRStorage, "2.25.1", "SR"
    report.file_meta = FileMetaDataset()
    report.file_meta.MediaStorageSOPClassUID = BasicTextSRStorage
    report.file_meta.MediaStorageSOPInstanceUID = UID("2.25.1")
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report.save_as(path, enforce_file_format=True)


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_csv(path: Path, rows: Iterable[Sequence[Any]], *, separator: str = ",", encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=separator, lineterminator="\n").writerows(rows)


def _yolo(shot: Shot, number: int, *, mirrored: bool = False) -> str:
    """One line with class, centre and size as shares of the picture; "" without a fracture in sight."""
    if shot.box is None:
        return ""
    x, y, w, h = shot.box
    height, width = shot.grey.shape
    across = (x + w / 2) / width
    values = (1 - across if mirrored else across, (y + h / 2) / height, w / width, h / height)
    return f"{number} {' '.join(f'{value:.6f}' for value in values)}\n"


def _voc(name: str, shot: Shot) -> str:
    height, width = shot.grey.shape
    x, y, w, h = shot.box or (0, 0, 0, 0)
    corners = f"<xmin>{x}</xmin><ymin>{y}</ymin><xmax>{x + w}</xmax><ymax>{y + h}</ymax>"
    thing = f"<object><name>fractured</name><bndbox>{corners}</bndbox></object>" if shot.box else ""
    size = f"<size><width>{width}</width><height>{height}</height><depth>1</depth></size>"
    return f"<annotation><filename>{name}</filename>{size}{thing}</annotation>\n"


def _coco(shown: Sequence[tuple[str, Shot]], name: str) -> str:
    images: list[dict[str, Any]] = []
    boxes: list[dict[str, Any]] = []
    for place, (file, shot) in enumerate(shown):
        height, width = shot.grey.shape
        images.append({"id": place, "file_name": file, "width": width, "height": height})
        if shot.box is not None:
            area = shot.box[2] * shot.box[3]
            box = {
                "id": len(boxes),
                "image_id": place,
                "category_id": 1,
                "bbox": [*shot.box],
                "area": area,
                "iscrowd": 0,
            }
            boxes.append(box)
    categories = [{"id": 1, "name": name, "supercategory": "none"}]
    return json.dumps({"info": {}, "images": images, "annotations": boxes, "categories": categories})


MINIATURES: dict[str, Callable[[Path], _Truth]] = {
    "folders": _folders,
    "mura": _mura,
    "fracatlas": _fracatlas,
    "grazpedwri": _grazpedwri,
    "yolo": _yolo_export,
    "coco": _coco_export,
    "classes": _classes,
    "table": _table,
    "dicom": _dicom,
}
