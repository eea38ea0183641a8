"""A folder tree → the one table that describes a data set; its splits by source or patient."""

from fracturelib.catalog.naming import NO_SPLIT, UNKNOWN, class_name, source_id_from_name
from fracturelib.catalog.selecting import BOX, polarities, root_of, rows, with_boxes
from fracturelib.catalog.splits import describe, resplit, shared_sources
from fracturelib.catalog.survey import survey
from fracturelib.catalog.table import fingerprint, read_catalog

__all__ = [
    "BOX",
    "NO_SPLIT",
    "UNKNOWN",
    "class_name",
    "describe",
    "fingerprint",
    "polarities",
    "read_catalog",
    "resplit",
    "root_of",
    "rows",
    "shared_sources",
    "source_id_from_name",
    "survey",
    "with_boxes",
]
