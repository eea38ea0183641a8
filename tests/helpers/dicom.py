"""Small DICOM files for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

RADIOGRAPH = "1.2.840.10008.5.1.4.1.1.1.1"  # Digital X-Ray Image Storage, for presentation


def make_dataset(values: np.ndarray, *, bits: int | None = None, **tags: Any) -> Any:
    """An uncompressed radiograph of integers (H, W); tags by keyword, None for an empty one."""
    from pydicom.dataset import Dataset

    dataset = Dataset()
    dataset.SOPClassUID = RADIOGRAPH
    dataset.SOPInstanceUID = "1.2.826.0.1.3680043.8.498.1"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 8 * values.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = values.astype(values.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OB" if values.itemsize == 1 else "OW"
    return dataset


def save_dicom(path: Path, dataset: Any, *, implicit: bool = False, preamble: bool = True) -> Path:
    """Write a data set with its file meta, or without them and without a preamble."""
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if not preamble:
        dcmwrite(path, dataset, implicit_vr=implicit, little_endian=True)
        return path
    if not hasattr(dataset, "file_meta"):
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dcmwrite(path, dataset, enforce_file_format=True)
    return path


def compressed(path: Path, syntax: str) -> Path:
    """Rewrite an uncompressed file in a compressed transfer syntax, by encoders of other authors than the decoder's."""
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000Lossless, JPEGLosslessSV1

    if syntax == JPEGLosslessSV1:  # which only GDCM writes
        return _by_gdcm(path)
    dataset = pydicom.dcmread(path)
    if syntax == JPEG2000Lossless:
        from openjpeg.utils import encode_array

        frame = encode_array(dataset.pixel_array, bits_stored=dataset.BitsStored, photometric_interpretation=2)
        dataset.PixelData, dataset.file_meta.TransferSyntaxUID = encapsulate([frame]), syntax
        dataset["PixelData"].VR = "OB"
    else:
        dataset.compress(syntax, generate_instance_uid=False)
    dataset.save_as(path)
    return path


def _by_gdcm(path: Path) -> Path:
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return path
