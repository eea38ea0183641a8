"""Files on disk: replaced whole, locked while they are written, downloaded with a checksum."""

from fracturelib.files.replacing import replaced, write_text

__all__ = ["replaced", "write_text"]
