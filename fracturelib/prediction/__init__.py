"""What a run says about X-rays that nobody has labelled."""

from fracturelib.prediction.answers import Limits
from fracturelib.prediction.stream import Groups, Predicted, are_few, predict_files, predict_stream, run_limits

__all__ = ["Groups", "Limits", "Predicted", "are_few", "predict_files", "predict_stream", "run_limits"]
