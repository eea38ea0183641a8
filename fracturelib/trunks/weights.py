"""Where the trunk's weights come from: ImageNet's file, the bundled trunk, a local file, or nowhere (random)."""

from __future__ import annotations

import os
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from fracturelib.errors import WeightsError, WeightsWarning
from fracturelib.files import download
from fracturelib.runtime import offline, seeded
from fracturelib.trunks.adapted import adapted
from fracturelib.trunks.contract import OwnSource
from fracturelib.trunks.sources import own_source_of, source_of
from fracturelib.trunks.state import check_numbers, load_into, read_state_dict, state_fingerprint

BUNDLED_TRUNK = Path(__file__).parents[1] / "assets" / "resnet18_distilled.safetensors"
BUNDLED_ARCHITECTURE = "resnet18"
# Fingerprint of the bundled trunk's numbers (`state_fingerprint`); a new export has a new one.
BUNDLED_SHA256 = "88129d4f6b92815f0bbf45d0a2d67d66830ba891fb1188dc551ed1f075ed36c1"


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
    """Build a network without its classifier and load its weights.

    Args:
        architecture: a network by a name that one of the `SOURCES` knows, for example ``resnet18``; or one that brings
            its weights: ``timm:NAME``, ``hf:ORGANISATION/NAME``, ``file:PATH``.
        weights: ``auto``, ``imagenet``, ``distilled``, ``none`` or a path (safetensors, or a ``.pth`` state dict,
            which is read with ``weights_only=True``, so that nothing in it is executed).
        seed: seed of the random weights of ``none``.

    Returns:
        The trunk, (B, 3, S, S) → (B, F), and where its weights came from.

    Raises:
        WeightsError: an unknown network, a missing or damaged file, wrong keys or shapes, values that are no numbers.
    """
    own = own_source_of(architecture)
    if own is not None:
        return _load_own(*own, architecture, weights, seed=seed)
    with seeded(seed, "trunk"):
        trunk = source_of(architecture).build(architecture)
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
        path, detail = Path(weights), f"{architecture} from the file {Path(weights).name}"
    if path is not None:
        load_into(trunk, read_state_dict(path), path)
        check_numbers(trunk, path)
    fingerprint = state_fingerprint(trunk)
    if weights == "distilled" and fingerprint != BUNDLED_SHA256:
        raise WeightsError(
            f"the bundled trunk has the fingerprint {fingerprint[:12]}…, expected {BUNDLED_SHA256[:12]}…",
            file=path,
            cause="the file was replaced or changed",
            cure="restore it from the repository (git checkout), or name the file itself: --weights PATH",
        )
    return trunk, WeightsOrigin(weights, detail, None if path is None else str(path), fingerprint)


def _load_own(
    source: OwnSource, name: str, architecture: str, weights: str, *, seed: int
) -> tuple[nn.Module, WeightsOrigin]:
    """A network that brings its weights (``auto``), or gets random ones (``none``) or those of a file."""
    described = architecture.startswith("file:")
    if weights in ("imagenet", "distilled") or (described and weights != "auto"):
        raise WeightsError(
            f"{architecture} brings its own weights, and takes no others ({weights})",
            cure="leave --weights and FRACTURELIB_WEIGHTS out",
        )
    with seeded(seed, "trunk"):
        network, inputs, file, detail = source.open(name, pretrained=weights == "auto")
    if weights not in ("auto", "none"):
        file, detail = Path(weights), f"{architecture} from the file {Path(weights).name}"
        load_into(network, read_state_dict(file), file)
    if file is not None:
        check_numbers(network, file)
    trunk = adapted(network, inputs)
    return trunk, WeightsOrigin(weights, detail, None if file is None else str(file), state_fingerprint(trunk))


def usual_size(architecture: str) -> int:
    """Side in pixels of the pictures that a network was trained on."""
    own = own_source_of(architecture)
    if own is None:
        return source_of(architecture).inputs(architecture).size
    return own[0].open(own[1], pretrained=False).inputs.size


def imagenet_file(architecture: str) -> tuple[str, Path]:
    """The address of a network's ImageNet weights, and their place on this machine."""
    return source_of(architecture).imagenet_file(architecture)


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
        download.fetch(url, path, checksum=path.stem.rsplit("-", 1)[1])
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
    if own_source_of(architecture) is not None:
        return [{"weights": "auto", "status": "takes", "place": f"those of {architecture}"}]

    def ready(file: Path) -> str:
        return "ready" if file.exists() else "not here"

    _, cached = imagenet_file(architecture)
    rows = [
        {"weights": "imagenet", "status": ready(cached), "place": str(cached)},
        {"weights": "distilled", "status": ready(BUNDLED_TRUNK), "place": str(BUNDLED_TRUNK)},
        {"weights": "none", "status": "ready", "place": "random, seeded"},
    ]
    best = next(row["weights"] for row in rows if row["status"] == "ready")
    note = "" if cached.exists() or offline() else ", after trying to download imagenet"
    return [{"weights": "auto", "status": "takes", "place": f"{best}{note}"}, *rows]


def _resolve_auto(architecture: str) -> str:
    """ImageNet's file if it is here or can be had, otherwise the bundled trunk, otherwise random; says which."""
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


def _bundled(architecture: str) -> Path:
    if architecture != BUNDLED_ARCHITECTURE:
        raise WeightsError(
            f"there is no bundled trunk for {architecture}", cure=f"use --architecture {BUNDLED_ARCHITECTURE}"
        )
    return BUNDLED_TRUNK
