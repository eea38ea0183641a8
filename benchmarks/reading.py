"""How fast is DICOM read, and do 16 bits cost anything? `python -m benchmarks.reading [--quick] [--json FILE]`.

(a) Speed: files of 2,000 × 2,500 pixels, raw and JPEG 2000, until they are pictures with a short side of 224, beside
pydicom with its own LUT functions and the same resize; both take turns, file by file, in as many threads as there are
cores. (b) Contrast: the radiographs of --data as 16-bit PNG with one saturated pixel each; how far the test AUC of a
logistic regression on the bundled trunk's features moves.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pydicom
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, JPEG2000Lossless
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.outcome import finish, options, row
from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.features import compute_features
from fracturelib.images import read_radiograph
from fracturelib.loaders import RadiographDataset
from fracturelib.model import build_model
from fracturelib.runtime import available_cores
from fracturelib.transforms import eval_transform

SIZE, SIDE = (2500, 2000), 224  # rows, columns; the side that pictures are read for
PATIENTS = 10  # different pictures among the files
SYNTAXES = {"raw": ExplicitVRLittleEndian, "JPEG 2000": JPEG2000Lossless}
BARS = {"raw": 0.7, "JPEG 2000": 0.9}
GREYS = 1.5  # mean difference of the two pictures, of 255: more, and they are not the same
AUC_BAR = 0.005


def main() -> int:
    """Measure, print, write; 1 if a row misses its bar."""
    parser = options("reading", __doc__, quick="few files, for a first look")
    parser.add_argument(
        "--data", default="../shared/data/fracatlas_slice", help="radiographs for (b); left out if absent"
    )
    settings = parser.parse_args()
    count = 6 if settings.quick else 100
    rows = [speed(name, count) for name in BARS]
    if Path(settings.data).is_dir():
        rows += contrast(Path(settings.data))
    return finish(rows, quick=settings.quick, file=settings.json)


def speed(name: str, count: int) -> dict:
    """Files per second as a share of what pydicom alone reads, with the range over the rounds."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(available_cores()) as pool:
        files = _write_files(Path(folder), count, SYNTAXES[name])
        times: dict[Callable, list[float]] = {_ours: [], _plain: []}
        rounds = np.array_split(np.array(files), max(1, count // 10))
        for part in [rounds[0][:2], *rounds]:  # the first one warms up both
            for read, taken in times.items():
                start = time.perf_counter()
                list(pool.map(read, part))
                taken.append(time.perf_counter() - start)
        gap = max(float(np.abs(_ours(file).astype(float) - _plain(file)).mean()) for file in files[:PATIENTS:3])
    ours, plain = (np.array(taken[1:]) for taken in times.values())
    share = plain.sum() / ours.sum()
    print(
        f"{name}: {count / ours.sum():.2f} files/s, pydicom {count / plain.sum():.2f}; mean difference {gap:.2f} greys"
    )
    ends = (plain / ours).min(), (plain / ours).max()
    return row(
        f"speed, {name}, share of pydicom's", share, ends, f">= {BARS[name]:g}", share >= BARS[name] and gap <= GREYS
    )


def _ours(file: Path) -> np.ndarray:
    return _small(read_radiograph(file, target_side=SIDE))


def _plain(file: Path) -> np.ndarray:
    """What a script with pydicom alone does."""
    dataset = pydicom.dcmread(file)
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset)
    grey = np.rint(values / (2**dataset.BitsStored - 1) * 255).astype(np.uint8)
    return _small(255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey)


def _small(grey: np.ndarray) -> np.ndarray:
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _write_files(folder: Path, count: int, syntax: UID) -> list[Path]:
    """Radiographs of 12 bits with a window, some of them stored with dark bone."""
    frames = [_frame(np.random.default_rng(seed), syntax) for seed in range(min(count, PATIENTS))]
    for number in range(count):
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = DigitalXRayImageStorageForPresentation, f"1.2.826.0.1.{number}"
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.PixelRepresentation = *SIZE, 1, 0
        dataset.PhotometricInterpretation = f"MONOCHROME{1 + number % 2}"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.WindowCenter, dataset.WindowWidth = 2000, 3600
        dataset.PixelData = frames[number % len(frames)]
        dataset["PixelData"].VR = "OB" if syntax == JPEG2000Lossless else "OW"
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(folder / f"{number:03}.dcm", enforce_file_format=True)
    return sorted(folder.glob("*.dcm"))


def _frame(rng: np.random.Generator, syntax: UID) -> bytes:
    """Smooth shapes with the noise of a detector, as the element's bytes."""
    smooth = cv2.resize(rng.normal(size=(40, 32)), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    values = (smooth - smooth.min()) / np.ptp(smooth) * 3600 + 200 + rng.normal(0, 8, SIZE)
    values = np.clip(values, 0, 4095).astype(np.uint16)
    if syntax == JPEG2000Lossless:
        return encapsulate([encode_array(values, bits_stored=12, photometric_interpretation=2)])
    return values.tobytes()


def contrast(data: Path) -> list[dict]:
    """Test AUC on the set as it is and on its 16-bit copy: 12 bits of it in use, one pixel saturated."""
    table = read_catalog(data)
    with tempfile.TemporaryDirectory() as folder:
        deep = table.assign(path=[f"{number}.png" for number in range(len(table))]).drop(columns="sha256")
        for number, path in enumerate(table["path"]):
            values = read_radiograph(data / path).astype(np.uint16) * 16
            values[len(values) // 3, 7] = 65535
            Image.fromarray(values).save(Path(folder) / f"{number}.png")
        deep.attrs = {"root": folder}
        aucs = [_auc(one) for one in (table, deep)]
    gap = aucs[1] - aucs[0]
    return [
        row(f"test AUC, {len(table)} pictures of 8 bits", aucs[0]),
        row("change with 16 bits and a saturated pixel", gap, bar=f"within {AUC_BAR:g}", holds=abs(gap) <= AUC_BAR),
    ]


def _auc(table) -> float:
    """Of a logistic regression on the bundled trunk's features, from the training to the test split."""
    config = TrainConfig(weights="distilled", device="cpu")
    dataset = RadiographDataset(table, eval_transform(config), side=config.image_size)
    features = compute_features(build_model(config), dataset, config)[0].numpy()
    train, test = (table["split"] == split for split in ("train", "test"))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
    model.fit(features[train], table.loc[train, "label"])
    return float(roc_auc_score(table.loc[test, "label"], model.predict_proba(features[test])[:, 1]))


if __name__ == "__main__":
    raise SystemExit(main())
