"""What a run tells a reader: the self-contained HTML report and the model card."""

from fracturelib.report.model_card import write_model_card
from fracturelib.report.page import check_report_folder, write_report
from fracturelib.report.tested import Tested

__all__ = ["Tested", "check_report_folder", "write_model_card", "write_report"]
