"""A folder tree → the one table that describes a data set; its splits by source or patient."""

from fracturelib.catalog.naming import source_id_from_name
from fracturelib.catalog.splits import describe, resplit, shared_sources
from fracturelib.catalog.survey import NO_SPLIT, UNKNOWN, survey
from fracturelib.catalog.table import fingerprint, read_catalog

__all__ = [
    "NO_SPLIT",
    "UNKNOWN",
    "describe",
    "fingerprint",
    "read_catalog",
    "resplit",
    "shared_sources",
    "source_id_from_name",
    "survey",
]
