"""Any data set → the one table that describes a data set; its splits by source or patient."""

from fracturelib.catalog.about import About, Meaning, about, boxes_of
from fracturelib.catalog.kept import FACTS_FOLDER, KeptFacts
from fracturelib.catalog.naming import NO_SPLIT, UNKNOWN, class_name, source_id_from_name
from fracturelib.catalog.options import DataOptions
from fracturelib.catalog.selecting import BOX, polarities, root_of, rows, with_boxes
from fracturelib.catalog.splits import describe, resplit, shared_sources
from fracturelib.catalog.survey import survey
from fracturelib.catalog.table import fingerprint, read_catalog

__all__ = [
    "BOX",
    "FACTS_FOLDER",
    "NO_SPLIT",
    "UNKNOWN",
    "About",
    "DataOptions",
    "KeptFacts",
    "Meaning",
    "about",
    "boxes_of",
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
