"""Any image file on disk → a greyscale radiograph, or an error that names file, cause and cure."""

from fracturelib.images.formats import FORMAT_NAMES, IMAGE_SUFFIXES
from fracturelib.images.listing import (
    folders_in,
    is_folder,
    is_visible,
    iterate_images,
    named_like_an_image,
    visible_files,
)
from fracturelib.images.polarity import Polarity, looks_inverted
from fracturelib.images.reading import READING, ImageFacts, inspect_image, measure_grey, read_radiograph

__all__ = [
    "FORMAT_NAMES",
    "IMAGE_SUFFIXES",
    "READING",
    "ImageFacts",
    "Polarity",
    "folders_in",
    "inspect_image",
    "is_folder",
    "is_visible",
    "iterate_images",
    "looks_inverted",
    "measure_grey",
    "named_like_an_image",
    "read_radiograph",
    "visible_files",
]
