"""One notebook, executed: parameters injected, a kernel of its own, the outputs that last, and what failed.

Parameters are injected as papermill does it: in a cell of their own, after the one that is tagged `parameters`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from fracturelib.course.widgets.common import STILL

START_SECONDS = 180  # longest wait for a kernel on a busy machine
_WIDGET = "application/vnd.jupyter.widget-view+json"


def inject(notebook: NotebookNode, parameters: Mapping[str, Any]) -> None:
    """Add a cell that sets the parameters after the one that is tagged `parameters`; without any, nothing."""
    place = next(i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", []))
    if parameters:
        text = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
        cell = nbformat.v4.new_code_cell(text, metadata={"tags": ["injected-parameters"]})
        notebook.cells.insert(place + 1, cell)


class CellFailed(Exception):
    """A cell of a notebook failed: its section and its error, in words."""


def execute(notebook: NotebookNode, folder: Path, environment: Mapping[str, str]) -> None:
    """Execute a notebook in place, in a kernel of its own with `folder` as its working folder.

    Args:
        notebook: gets its outputs; a still stands in for each panel, and progress bars are left out.
        folder: where the kernel starts.
        environment: variables that the kernel gets beside those of this process.

    Raises:
        CellFailed: a cell raised an error, or the kernel died.
    """
    progress = _Progress()
    client = NotebookClient(
        notebook,
        timeout=None,
        startup_timeout=START_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        on_cell_start=progress.begin,
        on_cell_error=progress.fail,
    )
    try:
        client.execute(env=_environment(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except (CellExecutionError, DeadKernelError, AssertionError, RuntimeError) as error:
        if _stopped(client):  # what the client then stumbles over depends on its version
            raise KeyboardInterrupt from error
        raise CellFailed(f"section “{section_of(notebook, progress.place)}”: {progress.said}") from error
    finally:
        _tidy(notebook)
    if _stopped(client):
        raise KeyboardInterrupt


@dataclass
class _Progress:
    """Which cell is being executed, and what is to be said if the execution ends with it."""

    place: int = 0
    said: str = "its kernel ended, perhaps for want of memory"

    def begin(self, cell: NotebookNode, cell_index: int) -> None:
        self.place = cell_index

    def fail(self, execute_reply: Mapping[str, Any], **_: Any) -> None:
        self.said = "{ename}: {evalue}".format(**execute_reply["content"])


def _tidy(notebook: NotebookNode) -> None:
    """Leave out what is of one moment: hours, bars, the state of widgets."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = without_bars(cell.outputs)


def _stopped(client: NotebookClient) -> bool:
    """Whether a signal (Ctrl-C) made the client end its kernel: it has its own handlers while it executes."""
    return getattr(client, "_async_cleanup_kernel_future", None) is not None


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's variables for a kernel: the same library, figures as in JupyterLab, and no class folder."""
    taken_away = ("MPLBACKEND", "FRACTURELIB_CLASS_FOLDER")
    kept = {name: value for name, value in os.environ.items() if name not in taken_away}
    package = str(Path(__file__).resolve().parents[2])
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, [package, kept.get("PYTHONPATH")])), **more}


def without_bars(outputs: list) -> list:
    """Outputs without progress bars, as text or as widgets that no still stands before: they are of one moment.

    A bar may end its line in an output of its own, which JupyterLab would show as an empty pink box.
    """
    kept: list = []
    for output in outputs:
        text = "".join(output["text"]) if output.get("name") == "stderr" else "words"
        if not text.strip() or re.search(r"\d+%\|", text):
            continue
        still = bool(kept) and STILL in "".join(kept[-1].get("data", {}).get("text/html", ""))
        if _WIDGET not in output.get("data", {}) or still:
            kept.append(output)
    return kept


def section_of(notebook: NotebookNode, index: int) -> str:
    """The heading that a cell stands under."""
    above = "\n".join(cell.source for cell in notebook.cells[: index + 1] if cell.cell_type == "markdown")
    return (re.findall(r"^#+ (.+)$", above, re.M) or ["the beginning"])[-1]
