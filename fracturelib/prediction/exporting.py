"""A run as one ONNX file: a grey picture in, the calibrated probability out; nothing of this package is needed."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fracturelib.config import CLASS_NAMES, IMAGENET_MEAN, IMAGENET_STD, POSITIVE
from fracturelib.errors import FracturelibError
from fracturelib.evaluation import apply_temperature
from fracturelib.files import MARK, replaced
from fracturelib.model import FractureClassifier
from fracturelib.runs import Run
from fracturelib.runs.selftest import made_up_pictures
from fracturelib.trunks.onnx_graphs import OPSET, as_graph, needed

TOLERANCE = 1e-3  # largest difference of a probability


class _Exported(nn.Module):
    """Grey pictures, uint8 (B, 1, S, S), at the run's size → calibrated P(fractured), float32 (B,)."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: FractureClassifier, temperature: float | None) -> None:
        super().__init__()
        self.trunk, self.logits, self.temperature = model.trunk, model.head[:-1], temperature or 1.0
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        images = (pictures.float() / 255 - self.mean) / self.std  # (B, 3, S, S)
        return torch.sigmoid(self.logits(self.trunk(images)).squeeze(1) / self.temperature)


def export_onnx(run: Run, file: str | Path) -> float:
    """Write the run's network as ONNX, after comparing it with the network itself on three made-up pictures.

    Input `pictures`: uint8 (B, 1, S, S), read as `read_radiograph` does and resized to the run's size S (antialiased).
    Output `probability`: float32 (B,), calibrated. The metadata say opset, shapes, threshold, limit, temperature and
    the fingerprint of the data.

    Returns:
        The largest difference between both on these pictures.

    Raises:
        FracturelibError: a package is missing, the trunk cannot be exported, or the numbers differ by more than 1e-3.
    """
    onnx, onnxruntime = needed("onnx"), needed("onnxruntime")
    with replaced(file) as partial:
        content = _graph(run)
        for key, value in _metadata(run).items():
            entry = content.metadata_props.add()
            entry.key, entry.value = key, value
        content.producer_name = MARK  # it stands at the beginning of the file, by which ours are known
        onnx.checker.check_model(content)
        onnx.save(content, str(partial))
        difference = _largest_difference(run, onnxruntime, partial)
        if not difference <= TOLERANCE:
            raise FracturelibError(
                f"the exported network gives other numbers: they differ by {difference:.2g}",
                file=file,
                cause="a layer of this trunk is computed in another way there",
                cure="nothing was written; use the run itself",
            )
    return difference


def _graph(run: Run) -> Any:
    model, side = run.model.to("cpu").eval(), run.config.picture_side
    example = torch.zeros(1, 1, side, side, dtype=torch.uint8)
    network = _Exported(model, run.temperature).eval()
    called = run.config.architecture
    return as_graph(network, example, input_name="pictures", output_name="probability", called=called)


def _metadata(run: Run) -> dict[str, str]:
    """What somebody who has only the file must know."""
    side, record = run.config.picture_side, run.record
    facts: dict[str, Any] = {
        "fracturelib": record.get("fracturelib", ""),
        "run": record.get("name", run.folder.name),
        "notice": "For teaching and research; no medical device.",
        "opset": OPSET,
        "precision": f"float32 (the run computed its trunk in {record.get('precision')})",
        "input": f"pictures: uint8 (batch, 1, {side}, {side}), grey, bright bone, resized with antialiasing",
        "output": f"probability: float32 (batch,), calibrated P({CLASS_NAMES[POSITIVE]})",
        "threshold": run.threshold,
        "limit": record.get("limit"),
        "temperature": run.temperature,
        "architecture": run.config.architecture,
        "data_fingerprint": record["data"]["fingerprint"],
        "trunk_sha256": record["weights"]["sha256"],
    }
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in facts.items()}


def _largest_difference(run: Run, onnxruntime: ModuleType, file: Path) -> float:
    """Between the file's numbers and the network's own, in float32."""
    pictures = made_up_pictures(run.config.picture_side)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"pictures": pictures})
    with torch.inference_mode():
        raw = _Exported(run.model, None).eval()(torch.from_numpy(pictures)).double().numpy()
    expected = raw if run.temperature is None else apply_temperature(raw, run.temperature)
    return float(np.abs(found - expected).max())
