"""DICOM files (PS3.10), read by pydicom: their pictures, and of their tags only what a table of radiographs needs.

Compressed pictures are decoded by python-gdcm. Both packages are the extra `fracturelib[dicom]`; they are loaded by
the first DICOM file that is read. Names, dates of birth and addresses are never taken out of a file.
"""

from fracturelib.images.dicom.kinds import Kind
from fracturelib.images.dicom.media import list_dicomdir
from fracturelib.images.dicom.parsing import is_dicom, is_dicom_file
from fracturelib.images.dicom.pictures import NAMES, SUFFIXES, open_file
from fracturelib.images.dicom.tags import Tags, read_tags

__all__ = ["NAMES", "SUFFIXES", "Kind", "Tags", "is_dicom", "is_dicom_file", "list_dicomdir", "open_file", "read_tags"]
