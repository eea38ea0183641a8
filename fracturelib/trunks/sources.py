"""Where a trunk can come from: each source is one module of this room, and one entry here."""

from __future__ import annotations

from fracturelib.errors import WeightsError
from fracturelib.trunks import file_trunks, hub_trunks, timm_trunks, torchvision_trunks
from fracturelib.trunks.contract import OwnSource, Source

SOURCES: tuple[Source, ...] = (torchvision_trunks,)
OWN_SOURCES: dict[str, OwnSource] = {"timm": timm_trunks, "hf": hub_trunks, "file": file_trunks}  # by prefix


def own_source_of(architecture: str) -> tuple[OwnSource, str] | None:
    """The source of a name such as ``timm:resnet10t`` and the rest of the name; None for a plain name."""
    prefix, colon, rest = architecture.partition(":")
    return (OWN_SOURCES[prefix], rest) if colon and prefix in OWN_SOURCES else None


def source_of(architecture: str) -> Source:
    """The source that knows a network by this plain name.

    Raises:
        WeightsError: none does; names similar ones.
    """
    by_name = {name: source for source in SOURCES for name in source.names()}
    if architecture in by_name:
        return by_name[architecture]
    family = [name for name in by_name if name[:4] == architecture[:4].lower()] or ["resnet18", "resnet50"]
    raise WeightsError(
        f"unknown network '{architecture}'",
        cause="it is not one of torchvision's classification networks",
        cure=f"for example {', '.join(family[:6])}; or timm:NAME, hf:ORGANISATION/NAME, file:PATH",
    )
