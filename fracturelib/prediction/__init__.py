"""What a run says about X-rays that nobody has labelled."""

from fracturelib.prediction.stream import Predicted, predict_files, predict_stream

__all__ = ["Predicted", "predict_files", "predict_stream"]
