"""onnxruntime in the place of torch for a model's frozen part: exported, and calibrated where it is int8."""

from __future__ import annotations

from typing import Any

from fracturelib.config import TrainConfig
from fracturelib.errors import ConfigError
from fracturelib.features.computing import contents
from fracturelib.loaders import RadiographDataset
from fracturelib.model import FractureClassifier
from fracturelib.runtime import choose_device
from fracturelib.runtime.processes import from_first, is_first
from fracturelib.trunks.engine import RUNTIME, Engine, float_engine, int8_engine
from fracturelib.trunks.onnx_graphs import needed

# With the first layer in float32, entropy came as near to float32 on FracAtlas (mean cosine 0.999), and percentiles no
# nearer without it; both keep every activation of every picture in memory.
METHOD = "min-max"
HEX_DIGITS = 16  # of a calibration picture's SHA-256 that are kept


def check_engine(model: FractureClassifier, config: TrainConfig) -> None:
    """Raise before any time is spent, where onnxruntime was asked for and cannot do the work.

    Raises:
        FracturelibError: a package is missing.
        ConfigError: the device is no processor, or no part of the trunk is frozen.
    """
    for package in ("onnx", RUNTIME, f"{RUNTIME}.quantization"):
        needed(package)
    device = choose_device(config.device)
    if device.type != "cpu":
        raise ConfigError(
            f"onnxruntime computes the trunk on processors, and this run would take the device '{device.type}'",
            cure="use --device cpu, or leave --engine and --precision out",
        )
    if not model.has_frozen_part:
        raise ConfigError(
            "onnxruntime computes what is frozen of the trunk, and here all of it is trained",
            cause=f"nothing comes before the stage '{config.unfreeze}', or the trunk cannot be cut there",
            cure="unfreeze less, or leave --engine and --precision out",
        )


def make_engine(model: FractureClassifier, pictures: RadiographDataset, config: TrainConfig) -> Engine:
    """The engine of a model's frozen part; of several processes the first one makes it, and all have its bytes.

    Args:
        model: on the CPU.
        pictures: training pictures, not augmented, that int8 is calibrated on; float32 needs none of them.
        config: settings of the run.

    Raises:
        FracturelibError: as `check_engine`; the trunk cannot be exported; or a picture cannot be read.
    """
    check_engine(model, config)
    if not is_first():
        return Engine(from_first(None))
    network, called = model.frozen_copy(), config.architecture + (" in tiles" if config.tiles > 1 else "")
    facts: dict[str, Any] = {"frozen_sha256": model.frozen_fingerprint()}
    if config.precision == "int8":
        images = (pictures.image(row, 0) for row in range(len(pictures)))
        facts |= {"method": METHOD, "pictures": sorted(content[:HEX_DIGITS] for content in contents(pictures))}
        engine = int8_engine(network, config.picture_side, images, facts, called=called)
    else:
        engine = float_engine(network, config.picture_side, facts, called=called)
    from_first(engine.content)
    return engine
