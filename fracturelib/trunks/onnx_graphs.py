"""A network as an ONNX graph: written by one exporter, with the packages of the extra `onnx`."""

from __future__ import annotations

import importlib
import logging
import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fracturelib.errors import FracturelibError

if TYPE_CHECKING:
    import torch
    from torch import nn

OPSET = 17


def needed(name: str) -> Any:
    """A package of the extra `onnx`; raises FracturelibError, naming the extra, where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise FracturelibError(
            f"the package {name.partition('.')[0]} is not installed",
            cure='install it: pip install "fracturelib[onnx]"',
        ) from error


def as_graph(network: nn.Module, example: torch.Tensor, *, input_name: str, output_name: str, called: str) -> Any:
    """A network on the CPU as an ``onnx.ModelProto``: one tensor in, one out, any number of rows.

    Args:
        network: in eval mode.
        example: one row of its input (1, …), of the right type.
        called: the network's name, for the message.

    Raises:
        FracturelibError: the package onnx is missing, or the network does something that ONNX has no word for.
    """
    import torch

    onnx: ModuleType = needed("onnx")
    logger = logging.getLogger("torch.onnx")
    usual = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            warnings.simplefilter("ignore")  # of the exporter, about itself
            file = Path(folder) / "graph.onnx"
            torch.onnx.export(
                network,
                (example,),
                file,
                input_names=[input_name],
                output_names=[output_name],
                dynamic_axes={input_name: {0: "batch"}, output_name: {0: "batch"}},
                opset_version=OPSET,
                dynamo=False,  # the other exporter needs a further package, and gives the same graph
            )
            return onnx.load(str(file))
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        raise FracturelibError(
            f"{called} cannot be exported to ONNX",
            cause=" ".join(str(error).split())[:200],
            cure="use the run itself, --engine torch without --precision int8, or another --architecture",
        ) from error
    finally:
        logger.setLevel(usual)
