"""Where a trunk can come from: each source is one module of this room, and one entry of `SOURCES`."""

from __future__ import annotations

from fracturelib.errors import WeightsError
from fracturelib.trunks import torchvision_trunks
from fracturelib.trunks.contract import Source

SOURCES: tuple[Source, ...] = (torchvision_trunks,)


def source_of(architecture: str) -> Source:
    """The source that knows a network by this name.

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
        cure=f"for example {', '.join(family[:6])}",
    )
