"""Where the trunk's weights come from: ImageNet's file, the bundled trunk, a local file, or nowhere (random)."""

from __future__ import annotations

import hashlib
import os
import pickle
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torchvision import models

from fracturelib.errors import WeightsError, WeightsWarning
from fracturelib.files import download
from fracturelib.runtime import offline, seeded

BUNDLED_TRUNK = Path(__file__).parents[1] / "assets" / "resnet18_distilled.safetensors"
BUNDLED_ARCHITECTURE = "resnet18"
# Fingerprint of the bundled trunk's numbers (`state_fingerprint`); a new export has a new one.
BUNDLED_SHA256 = "88129d4f6b92815f0bbf45d0a2d67d66830ba891fb1188dc551ed1f075ed36c1"
MISMATCHES_SHOWN = 5


@dataclass(frozen=True)
class WeightsOrigin:
    """What a trunk was loaded from; written into every run.

    Attributes:
        name: ``imagenet``, ``distilled``, ``none``, or the path of a file.
        detail: one sentence for the reader.
        path: the file, where there is one.
        sha256: fingerprint of the trunk's tensors as loaded, the same for the same numbers in any file format.
    """

    name: str
    detail: str
    path: str | None
    sha256: str

    def to_dict(self) -> dict[str, Any]:
        """The origin as plain values, ready for JSON."""
        return asdict(self)


def requested_weights(setting: str) -> str:
    """`TrainConfig.weights`, unless the environment variable ``FRACTURELIB_WEIGHTS`` overrides it."""
    return os.environ.get("FRACTURELIB_WEIGHTS", "").strip() or setting


def load_trunk(architecture: str, weights: str, *, seed: int = 0) -> tuple[nn.Module, WeightsOrigin]:
    """Build a torchvision network without its classifier and load its weights.

    Args:
        architecture: a torchvision classification network by name, for example ``resnet18``.
        weights: ``auto``, ``imagenet``, ``distilled``, ``none`` or a path (safetensors, or a ``.pth`` state dict,
            which is read with ``weights_only=True``, so that nothing in it is executed).
        seed: seed of the random weights of ``none``.

    Returns:
        The trunk, (B, 3, S, S) → (B, F), and where its weights came from.

    Raises:
        WeightsError: an unknown network, a missing or damaged file, wrong keys or shapes.
    """
    with seeded(seed, "trunk"):
        trunk = _without_classifier(architecture)
    if weights == "auto":
        weights = _resolve_auto(architecture)
    if weights == "none":
        path, detail = None, f"random {architecture}, seed {seed}: no pretraining at all"
    elif weights == "imagenet":
        path = fetch_imagenet(architecture)
        detail = f"torchvision's {architecture} trained on ImageNet ({path.name})"
    elif weights == "distilled":
        path = _bundled(architecture)
        detail = "the bundled resnet18, distilled from an ImageNet-trained EfficientNet-Lite0"
    else:
        path, detail = Path(weights), f"{architecture} from the file {weights}"
    if path is not None:
        _load_into(trunk, read_state_dict(path), path)
    fingerprint = state_fingerprint(trunk)
    if weights == "distilled" and fingerprint != BUNDLED_SHA256:
        raise WeightsError(
            f"the bundled trunk has the fingerprint {fingerprint[:12]}…, expected {BUNDLED_SHA256[:12]}…",
            file=path,
            cause="the file was replaced or changed",
            cure="restore it from the repository (git checkout), or name the file itself: --weights PATH",
        )
    return trunk, WeightsOrigin(weights, detail, None if path is None else str(path), fingerprint)


def state_fingerprint(module: nn.Module) -> str:
    """SHA-256 (hex) over the names, types and bytes of a module's tensors, sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def imagenet_file(architecture: str) -> tuple[str, Path]:
    """The address of torchvision's first ImageNet weights of a network, and their place in the hub cache."""
    enum = models.get_model_weights(_known(architecture))
    url = (enum.IMAGENET1K_V1 if hasattr(enum, "IMAGENET1K_V1") else enum.DEFAULT).url
    return url, Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]


def fetch_imagenet(architecture: str) -> Path:
    """The path of torchvision's ImageNet weights, from the hub cache or downloaded into it.

    torchvision's file names end in the first eight hex digits of the file's SHA-256; a download is checked
    against them before it gets its name.

    Raises:
        WeightsError: no network, network forbidden, or the check fails; says how to bring the file by hand.
    """
    url, path = imagenet_file(architecture)
    if path.exists():
        return path
    by_hand = f"bring {path.name} ({url}) from another machine and put it at {path}, or use --weights distilled"
    if offline():
        raise WeightsError(
            f"ImageNet weights for {architecture} are not on this machine, and the network is forbidden",
            file=path,
            cause="FRACTURELIB_OFFLINE is set",
            cure=by_hand,
        )
    try:
        download.fetch(url, path, sha256_prefix=path.stem.rsplit("-", 1)[1])
    except download.DownloadError as error:
        raise WeightsError(
            f"ImageNet weights for {architecture} could not be downloaded: {error}",
            file=path,
            cause="no network, or a proxy or firewall in between",
            cure=by_hand,
        ) from error
    return path


def available_weights(architecture: str = "resnet18") -> list[dict[str, str]]:
    """What this machine has, without touching the network: rows of name, status and place."""
    _, cached = imagenet_file(architecture)
    rows = [
        {"weights": "imagenet", "status": "ready" if cached.exists() else "not here", "place": str(cached)},
        {
            "weights": "distilled",
            "status": "ready" if BUNDLED_TRUNK.exists() else "not here",
            "place": str(BUNDLED_TRUNK),
        },
        {"weights": "none", "status": "ready", "place": "random, seeded"},
    ]
    best = next(row["weights"] for row in rows if row["status"] == "ready")
    note = "" if cached.exists() or offline() else ", after trying to download imagenet"
    return [{"weights": "auto", "status": "takes", "place": f"{best}{note}"}, *rows]


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Tensors by name from a safetensors file or a ``.pth`` state dict; nothing in the file is executed.

    Raises:
        WeightsError: the file is missing, damaged, or holds more than tensors.
    """
    if not path.is_file():
        raise WeightsError(
            "the weights file does not exist",
            file=path,
            cure="give --weights a file, or one of auto, imagenet, distilled, none",
        )
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        SafetensorError,
        pickle.UnpicklingError,
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
    ) as error:
        raise WeightsError(
            "the weights file cannot be read",
            file=path,
            cause=f"it is damaged, incomplete, or no plain state dict ({type(error).__name__}: {str(error)[:120]})",
            cure="fetch it again; delete it first if it lies in the download cache",
        ) from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError(
            "the weights file does not hold a state dict (tensors by name)",
            file=path,
            cause="a whole model or a training checkpoint was saved",
            cure="save model.state_dict() only",
        )
    return state


def _resolve_auto(architecture: str) -> str:
    """ImageNet's file if it is here or can be had, otherwise the bundled trunk, otherwise random; said aloud."""
    _, cached = imagenet_file(architecture)
    if cached.exists():
        return "imagenet"
    reason = "the network is forbidden (FRACTURELIB_OFFLINE)"
    if not offline():
        try:
            fetch_imagenet(architecture)
            return "imagenet"
        except WeightsError as error:
            reason = error.what
    if architecture == BUNDLED_ARCHITECTURE and BUNDLED_TRUNK.exists():
        print(f"Weights: using the bundled trunk ({reason}).")
        return "distilled"
    warnings.warn(
        f"NO PRETRAINED WEIGHTS: the trunk is random ({reason}). Results will be far below transfer learning; "
        "bring the ImageNet file by hand (`fracturelib weights` says where it belongs).",
        WeightsWarning,
        stacklevel=2,
    )
    return "none"


def _known(architecture: str) -> str:
    """The name of a torchvision classification network, or an error with near matches."""
    names = models.list_models(module=models)
    if architecture in names:
        return architecture
    family = [name for name in names if name[:4] == architecture[:4].lower()] or ["resnet18", "resnet50"]
    raise WeightsError(
        f"unknown network '{architecture}'",
        cause="it is not one of torchvision's classification networks",
        cure=f"for example {', '.join(family[:6])}",
    )


def _without_classifier(architecture: str) -> nn.Module:
    """A torchvision network with random weights whose last layers are replaced by the identity."""
    # inception and googlenet carry a second classifier that only their own training uses
    network = models.get_model(_known(architecture), weights=None)
    for name in ("fc", "classifier", "heads", "head"):
        if hasattr(network, name):
            setattr(network, name, nn.Identity())
            return network
    raise WeightsError(f"{architecture} has no classifier that could be taken off", cure="use resnet18")


def _bundled(architecture: str) -> Path:
    if architecture != BUNDLED_ARCHITECTURE:
        raise WeightsError(
            f"there is no bundled trunk for {architecture}", cure=f"use --architecture {BUNDLED_ARCHITECTURE}"
        )
    return BUNDLED_TRUNK


def _load_into(trunk: nn.Module, state: dict[str, torch.Tensor], path: Path) -> None:
    """Copy a state dict into the trunk; the classifier's own entries are left out, all else must match."""
    expected = trunk.state_dict()
    classifier = ("fc.", "classifier.", "heads.", "head.", "AuxLogits.", "aux1.", "aux2.")
    state = {name: value for name, value in state.items() if name in expected or not name.startswith(classifier)}
    # A counter that older files lack; it plays no part in what the network computes.
    optional = {name for name in expected if name.endswith("num_batches_tracked")}
    wrong = [f"missing: {name}" for name in expected if name not in state and name not in optional]
    wrong += [f"unexpected: {name}" for name in state if name not in expected]
    wrong += [
        f"shape of {name}: {tuple(state[name].shape)}, expected {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    wrong += [f"not finite: {name}" for name, value in state.items() if not torch.isfinite(value.float()).all()]
    if wrong:
        shown = "; ".join(wrong[:MISMATCHES_SHOWN])
        raise WeightsError(
            f"the weights do not fit the network ({len(wrong)} differences): {shown}",
            file=path,
            cause="they belong to another architecture, or the file is damaged",
            cure="name the matching --architecture, or another file",
        )
    trunk.load_state_dict({**expected, **state})  # copies, and converts float16 to float32
