"""What a run tells a reader: the self-contained HTML report and the model card."""

from fracturelib.report.model_card import write_model_card
from fracturelib.report.page import write_report

__all__ = ["write_model_card", "write_report"]
