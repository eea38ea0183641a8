"""The data audit: how many different radiographs are there, do copies leak, and what gives the label away?"""

from fracturelib.audit.corrections import check_corrections, write_clean_split, write_metadata
from fracturelib.audit.page import check_audit_folder, write_page
from fracturelib.audit.result import Audit, audit

__all__ = [
    "Audit",
    "audit",
    "check_audit_folder",
    "check_corrections",
    "write_clean_split",
    "write_metadata",
    "write_page",
]
