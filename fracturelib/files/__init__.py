"""Files on disk: replaced whole, locked while they are written, downloaded with a checksum."""

from fracturelib.files.replacing import replaced

__all__ = ["replaced"]
