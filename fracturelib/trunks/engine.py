"""A trunk's frozen part computed by onnxruntime on the processor: in float32, or in int8 at several times the speed.

Integer arithmetic after Jacob et al. (CVPR 2018): weights per channel, activations per tensor, the ranges of the latter
measured on calibration pictures. The file says between which operations numbers are rounded (QDQ), so that it holds
nothing but numbers and ONNX's own operators; onnxruntime gets its bytes, never its place, so that it draws in no other.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import tempfile
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fracturelib.errors import FracturelibError
from fracturelib.runtime import computing_threads
from fracturelib.trunks.onnx_graphs import as_graph, needed

if TYPE_CHECKING:
    import torch
    from torch import nn

RUNTIME = "onnxruntime"
FACTS = "fracturelib engine"  # of the file's metadata
INPUT, OUTPUT = "images", "features"
CALIBRATION_BATCH = 16  # images; what is measured are ranges, which do not depend on it


class Engine:
    """Images (B, 3, S, S) → float32 features (B, F), or maps (B, C, H, W), as a graph of ONNX computes them.

    A plain object, so that a module that holds it keeps its own parameters. It works with as many threads as torch had
    when it was made. Where torch is not loaded, it stays so.

    Args:
        content: the bytes of an ONNX file that `float_engine` or `int8_engine` made.

    Attributes:
        content: these bytes.
        facts: precision, SHA-256 of the frozen part, and how it was calibrated; plain values.

    Raises:
        FracturelibError: onnxruntime is missing, or does not read the file, or it is no engine of ours.
    """

    def __init__(self, content: bytes) -> None:
        runtime = needed(RUNTIME)
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = computing_threads(), 4
        # a thread that waits for work keeps no core from those that read the next pictures
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            self.facts: dict[str, Any] = json.loads(self._session.get_modelmeta().custom_metadata_map[FACTS])
        except Exception as error:  # onnxruntime has a dozen kinds of error for files that it cannot read
            raise FracturelibError(
                "onnxruntime cannot use this file as a trunk",
                cause=f"it is damaged, or was made by other code ({' '.join(str(error).split())[:200]})",
                cure="restore it from a copy",
            ) from error
        self.content = content

    @property
    def precision(self) -> str:
        """``float32`` or ``int8``."""
        return self.facts["precision"]

    @cached_property
    def identity(self) -> str:
        """What its numbers depend on: onnxruntime's version and the SHA-256 of the file."""
        return f"{RUNTIME} {needed(RUNTIME).__version__} {hashlib.sha256(self.content).hexdigest()}"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """The result is on the images' device; the work is always the processor's."""
        import torch

        return torch.from_numpy(self.run(images.detach().float().cpu().contiguous().numpy())).to(images.device)

    def run(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same for arrays."""
        (found,) = self._session.run([OUTPUT], {INPUT: images})
        return found

    def __repr__(self) -> str:
        return f"Engine({self.precision}, {len(self.content) / 1e6:.1f} MB)"


def float_engine(network: nn.Module, side: int, facts: dict[str, Any], *, called: str) -> Engine:
    """An engine that computes in float32; raises FracturelibError where the network cannot be exported.

    Args:
        network: the frozen part, on the CPU and in eval mode.
        side: of its images, in pixels.
        facts: what the file is to say about itself.
        called: the network's name, for a message.
    """
    return Engine(_with_facts(_graph(network, side, called), {"precision": "float32", **facts}))


def int8_engine(
    network: nn.Module, side: int, images: Iterable[torch.Tensor], facts: dict[str, Any], *, called: str
) -> Engine:
    """An engine that computes in int8, its ranges measured on images (3, S, S); else as `float_engine`.

    The first layer stays in float32: it sees the pictures themselves, whose fine differences a few steps would blur.
    Activations, which ReLU leaves positive, are unsigned. Weights keep seven bits: processors without VNNI add two
    products in 16 bits, and would cut off their sum; eight bits came no nearer to float32 on the wrist pictures.
    """
    graph = _graph(network, side, called)
    quantization = needed("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as folder:  # onnxruntime wants files
        file = Path(folder) / "int8.onnx"
        root, usual = logging.getLogger(), logging.getLogger().level
        root.setLevel(logging.ERROR)  # it advises to prepare the graph, which the folded copy is
        try:
            quantization.quantize_static(
                graph,
                str(file),
                _Batches(images),
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                reduce_range=True,
                nodes_to_exclude=_first_layer(graph),
            )
        finally:
            root.setLevel(usual)
        quantized = needed("onnx").load(str(file))
    return Engine(_with_facts(quantized, {"precision": "int8", **facts}))


def _first_layer(graph: Any) -> list[str]:
    """The name of the first convolution, where there is one."""
    return [node.name for node in graph.graph.node if node.op_type == "Conv"][:1]


class _Batches:
    """Calibration images as onnxruntime asks for them: one dictionary after the other, then None."""

    def __init__(self, images: Iterable[torch.Tensor]) -> None:
        self._left = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        import torch

        batch = list(itertools.islice(self._left, CALIBRATION_BATCH))
        return {INPUT: torch.stack(batch).numpy()} if batch else None


def _graph(network: nn.Module, side: int, called: str) -> Any:
    import torch

    example = torch.zeros(1, 3, side, side)
    return as_graph(network, example, input_name=INPUT, output_name=OUTPUT, called=called)


def _with_facts(graph: Any, facts: dict[str, Any]) -> bytes:
    """The bytes of the file, the same for the same numbers and facts."""
    entry = graph.metadata_props.add()
    entry.key, entry.value = FACTS, json.dumps(facts, sort_keys=True)
    return graph.SerializeToString(deterministic=True)
