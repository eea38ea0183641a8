"""How the user says that a data set is to be read: the same choices for every command that takes data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

AUTO = "auto"


@dataclass(frozen=True)
class DataOptions:
    """Everything that the defaults leave open is chosen by what is found in the folder.

    Attributes:
        layout: name of a layout (`layouts.LAYOUTS`), or "auto".
        labels: a table of labels (CSV, TSV or XLSX), or "".
        columns: what its columns are, as "path=Image,label=Dx,patient=MRN"; the others are found by name.
        classes: what the names of classes mean, as "fractured=Comminuted,Greenstick; not fractured=Healthy".
        keep_ids: keep ids of patients and studies; otherwise each becomes a number (P0001, S0001).
    """

    layout: str = AUTO
    labels: str = ""
    columns: str = ""
    classes: str = ""
    keep_ids: bool = False

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DataOptions:
        """From the values that a run's record keeps; unknown names are ignored."""
        return cls(**{entry.name: values[entry.name] for entry in fields(cls) if entry.name in values})


DEFAULTS = DataOptions()
