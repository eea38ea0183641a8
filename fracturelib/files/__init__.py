"""Files on disk: asked whether they may be written, replaced whole, locked while they are written, downloaded."""

from fracturelib.files.outputs import MARK, check_output, check_output_folder, check_replaceable
from fracturelib.files.replacing import replaced, write_text

__all__ = ["MARK", "check_output", "check_output_folder", "check_replaceable", "replaced", "write_text"]
