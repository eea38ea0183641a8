"""How a radiograph becomes a file: PNG of 8 or 16 bits, JPEG, or DICOM as a hospital exports it.

Twelve bits are stored in sixteen: DICOM holds 0…4095, the 16-bit PNG the same numbers times 16 (a shift of 4 bits).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from fracturelib.config import CLASS_NAMES
from fracturelib.errors import FracturelibError
from fracturelib.simulation.devices import shifted_device
from fracturelib.simulation.picture import SimulatedRadiograph
from fracturelib.simulation.plan import File, Job

SUFFIXES = {"png": ".png", "png16": ".png", "jpeg": ".jpg", "dicom": ".dcm"}
JPEG_QUALITY = 92
PNG_LEVEL = 3  # noise hardly gets smaller with more effort
STORED_BITS = 12
SHIFT = 4  # bits by which the 16-bit PNG's numbers are larger
BODY_PARTS = {
    "forearm": "FOREARM", "wrist": "WRIST", "hand": "HAND", "upper arm": "HUMERUS", "thigh": "FEMUR",
    "lower leg": "LEG",
}  # fmt: skip
AGES = {"child": "009Y", "adult": "040Y", "older": "075Y"}
VIEW_POSITIONS = {"frontal": "AP", "lateral": "LL"}


def relative_path(job: Job, file: File, format: str) -> str:
    """Where a file lies in its set: in its split and class, or as DICOM in its patient's study."""
    if format == "dicom":
        return f"studies/{job.patient_id}/S1/{file.view}{SUFFIXES[format]}"
    return f"{file.split}/{CLASS_NAMES[int(job.fractured)]}/{file.name}{SUFFIXES[format]}"


def check_format(format: str) -> None:
    """Raise a FracturelibError if what the format needs is not installed."""
    if format == "dicom":
        try:
            import pydicom  # noqa: F401
        except ImportError:
            cure = "pip install 'fracturelib[dicom]', or choose another format"
            raise FracturelibError("DICOM files need the package pydicom", cure=cure) from None


def write_picture(path: Path, radiograph: SimulatedRadiograph, job: Job, file: File, format: str) -> None:
    """Write one view, turned by `file.degrees`; its corners turn black and the frame stays, as careless augmentation
    leaves them."""
    grey = Image.fromarray(radiograph.grey)
    if file.degrees:
        grey = grey.rotate(file.degrees, resample=Image.Resampling.BILINEAR)
    share = np.asarray(grey)
    if format in ("png16", "dicom"):
        stored = np.round(share * (2**STORED_BITS - 1)).astype(np.uint16)
        if format == "dicom":
            _write_dicom(path, stored, radiograph, job, file)
        else:
            Image.fromarray(stored << SHIFT).save(path, compress_level=PNG_LEVEL)
        return
    picture = Image.fromarray(np.round(share * 255).astype(np.uint8))
    picture.save(path, quality=JPEG_QUALITY, compress_level=PNG_LEVEL)  # each format takes its own


def study_uid(job: Job) -> str:
    """StudyInstanceUID of both views of a patient; it follows from the seed."""
    return _uid("study", job)


def accession_number(job: Job) -> str:
    """What the labels table and the files of a study have in common."""
    return f"A{int(hashlib.sha256(repr(job.entropy).encode()).hexdigest()[:12], 16) % 10**8:08d}"


def _uid(what: str, job: Job) -> str:
    """A UID made from a UUID (PS3.5, B.2), here from a hash so that the same seed gives the same."""
    digest = hashlib.sha256(f"fracturelib {what} {job.entropy} {job.shift}".encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def _write_dicom(path: Path, stored: np.ndarray, radiograph: SimulatedRadiograph, job: Job, file: File) -> None:
    """Computed Radiography Image Storage, uncompressed; bone is stored dark by machines that say MONOCHROME1."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

    device, number = shifted_device(job.shift), 1 + list(VIEW_POSITIONS).index(file.view)
    if device.monochrome1:
        stored = 2**STORED_BITS - 1 - stored
    instance = UID(_uid(file.name, job))
    values = {
        "SpecificCharacterSet": "ISO_IR 192", "ImageType": ["ORIGINAL", "PRIMARY"],
        "SOPClassUID": ComputedRadiographyImageStorage, "SOPInstanceUID": instance,
        "StudyDate": "20240102", "ContentDate": "20240102", "StudyTime": "080000", "ContentTime": "080000",
        "AccessionNumber": accession_number(job), "Modality": "CR", "Manufacturer": "fracturelib",
        "ReferringPhysicianName": "", "StudyDescription": "simulated radiographs",
        "ManufacturerModelName": f"simulated {device.name}", "PatientName": f"Simulated^{job.patient_id}",
        "PatientID": job.patient_id, "PatientBirthDate": "", "PatientSex": "",
        "PatientAge": AGES[job.setting.age_group], "BodyPartExamined": BODY_PARTS[job.setting.region],
        "ViewPosition": VIEW_POSITIONS[file.view], "StudyInstanceUID": study_uid(job),
        "SeriesInstanceUID": _uid(f"series {file.view}", job), "StudyID": "1", "SeriesNumber": number,
        "InstanceNumber": 1, "PatientOrientation": "", "Laterality": "",
        "ImagerPixelSpacing": [f"{radiograph.pixel:.5f}"] * 2, "SamplesPerPixel": 1,
        "PhotometricInterpretation": f"MONOCHROME{1 if device.monochrome1 else 2}",
        "Rows": stored.shape[0], "Columns": stored.shape[1], "BitsAllocated": 16, "BitsStored": STORED_BITS,
        "HighBit": STORED_BITS - 1, "PixelRepresentation": 0, "BurnedInAnnotation": "YES" if device.typed else "NO",
        "WindowCenter": "2048", "WindowWidth": "4096", "RescaleIntercept": "0", "RescaleSlope": "1",
        "RescaleType": "US", "LossyImageCompression": "00", "PixelData": stored.astype("<u2").tobytes(),
    }  # fmt: skip
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = instance
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
