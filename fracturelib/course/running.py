"""The whole course on any data: every notebook is executed with its parameters set, and an index says what came of it.

Parameters are injected as papermill does it: in a cell of their own, after the one that is tagged `parameters`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from fracturelib import __version__
from fracturelib.catalog import DataOptions, fingerprint
from fracturelib.catalog.options import DEFAULTS
from fracturelib.course.notebook import (
    COURSE_INDEX,
    COURSE_MARK,
    LEFT_OUT,
    NOT_SO,
    is_course_folder,
    read_table,
)
from fracturelib.course.widgets.common import STILL
from fracturelib.errors import CatalogError, FracturelibError
from fracturelib.files import check_output_folder, write_text
from fracturelib.writing.words import counted

START_SECONDS = 180  # longest wait for a kernel on a busy machine
FEWEST = 4  # pictures of each class in each split, below which too many sections would be empty
_WIDGET = "application/vnd.jupyter.widget-view+json"
_DATA_MARK = "data"  # what a copy's metadata says of the run that made it
_RUN = "course_run"


@dataclass(frozen=True)
class Outcome:
    """What came of one notebook.

    Attributes:
        name: of its file.
        minutes: of executing it.
        failed: the section and the error of a cell that failed, in words; "" where none did.
        left_out: (section, reason) of what does not apply to the data.
        not_so: (section, claim) of what holds for the embedded data and not for these.
        kept: it was executed by an earlier call.
    """

    name: str
    minutes: float
    failed: str = ""
    left_out: tuple[tuple[str, str], ...] = ()
    not_so: tuple[tuple[str, str], ...] = ()
    kept: bool = False


def run_course(
    out: str | Path,
    *,
    data: str | Path | None = None,
    options: DataOptions | None = None,
    only: Sequence[str] = (),
    fast: bool = False,
    notebooks: str | Path | None = None,
    say: Callable[[str], None] = print,
    on_data: Callable[[Any], None] | None = None,
) -> list[Outcome]:
    """Execute the notebooks on a data set; all that they write goes below `out`.

    A notebook that an earlier call finished with the same code, settings and data is kept.

    Args:
        out: a new or empty folder, or one of an earlier call: gets index.md, notebooks/, data/ and runs/.
        data: a folder in any layout of `fracturelib.catalog.layouts`; None: the embedded sets, made below `out`.
        options: how `data` is read.
        only: numbers of notebooks, "03"; all where it is empty.
        fast: small sizes, as FRACTURELIB_FAST.
        notebooks: their folder; default: that of the checkout in or from which this is called.
        say: gets one line for each notebook.
        on_data: called with the table once the data are read.

    Raises:
        FracturelibError: no notebooks are found, `out` holds something else, or the data cannot be read.
    """
    series = find_notebooks(notebooks, only)
    out = _check_out(Path(out), series, data)
    parameters, data_mark = _parameters(out, data, options or DEFAULTS, on_data)
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    found = []
    write_text(out / COURSE_INDEX, index_page([], data=data, fast=fast))
    for file in series:
        target = out / "notebooks" / file.name
        done = _run_one(file, target, parameters=parameters, fast=fast, data_mark=data_mark)
        found.append(done)
        write_text(out / COURSE_INDEX, index_page(found, data=data, fast=fast))
        say(_line(done))
    return found


def find_notebooks(folder: str | Path | None, only: Sequence[str] = ()) -> list[Path]:
    """The series in a folder, or in the checkout that the working folder or this module belongs to.

    Raises:
        FracturelibError: there are none, or none of a number in `only`.
    """
    cure = "call this in a checkout of fracturelib, or name the folder with --notebooks"
    if folder is None:
        places = [Path.cwd(), *Path.cwd().parents, Path(__file__).resolve().parents[2]]
        holds = (place / "notebooks" for place in places if (place / "notebooks/00_first_look.ipynb").is_file())
        folder = next(holds, None)
    if folder is None:
        raise FracturelibError(
            "the notebooks were not found", cause="they are part of a checkout, not of the package", cure=cure
        )
    found = sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))
    if not found:
        raise FracturelibError("there are no notebooks in this folder", file=folder, cure=cure)
    there = {file.name[:2] for file in found}
    if unknown := sorted(set(only) - there):
        raise FracturelibError(
            f"there is no notebook {', '.join(unknown)}", cure=f"choose of {', '.join(sorted(there))}"
        )
    return [file for file in found if not only or file.name[:2] in only]


def _check_out(out: Path, series: Sequence[Path], data: str | Path | None) -> Path:
    """Refuse a folder that holds anything else, before any work."""
    check_output_folder(out, {COURSE_INDEX: ()}, outside=[] if data is None else [data])
    if out.is_dir() and any(out.iterdir()) and not is_course_folder(out):
        raise FracturelibError("the folder holds something else", file=out, cure="name a new or an empty folder")
    for file in series:
        target = out / "notebooks" / file.name
        if target.exists() and _made_by(target) is None:
            raise FracturelibError(
                "this notebook is there already, and was not made by this command",
                file=target,
                cure="name another folder, or move it away",
            )
    return out


def _parameters(
    out: Path, data: str | Path | None, options: DataOptions, on_data: Callable[[Any], None] | None
) -> tuple[dict[str, Any], str]:
    """What is injected into each notebook, and a fingerprint of the data.

    Raises:
        CatalogError: the data cannot be read, or a split has too few pictures of a class for the course.
    """
    if data is None:
        return {}, "embedded"
    given = {entry.name: getattr(options, entry.name) for entry in fields(options)}
    reading = {name: value for name, value in given.items() if value != getattr(DEFAULTS, name)}
    table = read_table(data, reading)
    if on_data is not None:
        on_data(table)
    counts = table.groupby(["split", "label"]).size()
    if len(counts) < 6 or counts.min() < FEWEST:
        few = ", ".join(f"{count} of class {label} in {split}" for (split, label), count in counts.items())
        raise CatalogError(
            "there are too few pictures for the course",
            file=data,
            cause=f"it needs {FEWEST} of each class in training, validation and test; found: {few}",
            cure="add pictures, or take a larger set",
        )
    if "labels" in reading and Path(reading["labels"]).exists():
        reading["labels"] = _seen_from(out, reading["labels"])
    injected: dict[str, Any] = {"DATA": _seen_from(out, data)}
    return injected | ({"READING": reading} if reading else {}), fingerprint(table)


def _seen_from(out: Path, path: str | Path) -> str:
    """The path as the notebooks in `out` name it: relative, where that is possible."""
    try:
        return Path(os.path.relpath(path, out / "notebooks")).as_posix()
    except ValueError:  # another drive
        return str(Path(path).resolve())


def _run_one(file: Path, target: Path, *, parameters: Mapping[str, Any], fast: bool, data_mark: str) -> Outcome:
    """Execute one notebook into its copy, unless an earlier call has done so."""
    notebook = nbformat.read(file, as_version=4)
    key = _key(notebook, parameters, fast, data_mark)
    earlier = _made_by(target) if target.exists() else None
    if earlier is not None and earlier["key"] == key and not earlier["outcome"]["failed"]:
        told = {name: tuple(map(tuple, earlier["outcome"][name])) for name in ("left_out", "not_so")}
        return Outcome(**earlier["outcome"] | told | {"kept": True})
    started, failed = time.monotonic(), ""
    inject(notebook, parameters)
    try:
        execute(notebook, target.parent, {"FRACTURELIB_FAST": "1" if fast else "0", "TQDM_DISABLE": "1"})
    except CellFailed as error:
        failed = str(error)
    minutes = (time.monotonic() - started) / 60
    said = {name: tuple(_said(notebook, name)) for name in (LEFT_OUT, NOT_SO)}
    outcome = Outcome(file.name, round(minutes, 2), failed, said[LEFT_OUT], said[NOT_SO])
    for cell in notebook.cells:
        cell.source = cell.source if cell.cell_type == "code" else without_links_out(cell.source)
    notebook.metadata["fracturelib"] = {_RUN: {"key": key, "outcome": asdict(outcome)}}
    write_text(target, nbformat.writes(notebook) + "\n")
    return outcome


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
    failed: list[str] = []

    def note(cell: NotebookNode, cell_index: int, execute_reply: Mapping[str, Any]) -> None:
        content = execute_reply["content"]
        error = f"{content.get('ename')}: {content.get('evalue')}"
        failed.append(f"section “{section_of(notebook, cell_index)}”: {error}")

    client = NotebookClient(
        notebook,
        timeout=None,
        startup_timeout=START_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        store_widget_state=False,
        on_cell_error=note,
    )
    try:
        client.execute(env=_environment(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except CellExecutionError as error:
        raise CellFailed(failed[-1] if failed else f"{error.ename}: {error.evalue}") from error
    except DeadKernelError as error:
        if stopped(client):
            raise KeyboardInterrupt from error
        raise CellFailed("its kernel ended, perhaps for want of memory") from error
    finally:
        notebook.metadata.pop("widgets", None)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
            if cell.cell_type == "code":
                cell.outputs = without_bars(cell.outputs)
    if stopped(client):
        raise KeyboardInterrupt


def stopped(client: NotebookClient) -> bool:
    """Whether a signal (Ctrl-C) made the client end its kernel: it has its own handlers while it executes."""
    return getattr(client, "_async_cleanup_kernel_future", None) is not None


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """This process's variables for a kernel: the same library, figures as in JupyterLab, and no class folder."""
    taken_away = ("MPLBACKEND", "FRACTURELIB_CLASS_FOLDER")
    kept = {name: value for name, value in os.environ.items() if name not in taken_away}
    package = str(Path(__file__).resolve().parents[2])
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, [package, kept.get("PYTHONPATH")])), **more}


def without_bars(outputs: list) -> list:
    """Outputs without progress bars, as text or as widgets that no still stands before: they are of one moment."""
    kept: list = []
    for output in outputs:
        if output.get("name") == "stderr" and re.search(r"\d+%\|", "".join(output["text"])):
            continue
        still = bool(kept) and STILL in "".join(kept[-1].get("data", {}).get("text/html", ""))
        if _WIDGET not in output.get("data", {}) or still:
            kept.append(output)
    return kept


def section_of(notebook: NotebookNode, index: int) -> str:
    """The heading that a cell stands under."""
    above = "\n".join(cell.source for cell in notebook.cells[: index + 1] if cell.cell_type == "markdown")
    return (re.findall(r"^#+ (.+)$", above, re.M) or ["the beginning"])[-1]


def _said(notebook: NotebookNode, name: str) -> Iterator[tuple[str, str]]:
    """(section, sentence) of the outputs that bear this name in their metadata."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if sentence := output.get("metadata", {}).get("fracturelib", {}).get(name):
                yield section_of(notebook, index), sentence


def without_links_out(text: str) -> str:
    """Markdown whose links to files that are no copies beside it (glossary, solutions) are plain words."""
    return re.sub(r"\[([^\]\n]+)\]\((?:\.\./|solutions/)[^)]*\)", r"\1", text)


def _key(notebook: NotebookNode, parameters: Mapping[str, Any], fast: bool, data_mark: str) -> str:
    """SHA-256 over all that decides what comes out."""
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    return hashlib.sha256(json.dumps([__version__, cells, dict(parameters), fast, data_mark]).encode()).hexdigest()


def _made_by(copy: Path) -> dict[str, Any] | None:
    """What an executed copy says of the call that made it; None for any other file."""
    try:
        return json.loads(copy.read_text(encoding="utf-8"))["metadata"]["fracturelib"][_RUN]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _line(done: Outcome) -> str:
    """One notebook on the screen."""
    how = "kept from an earlier call" if done.kept else f"{done.minutes:.1f} minutes"
    what = f"FAILED in {done.failed}" if done.failed else "no cell error"
    parts = f", {counted(len(done.left_out), 'part')} left out" if done.left_out else ""
    return f"{done.name}: {how}, {what}{parts}"


def index_page(found: Sequence[Outcome], *, data: str | Path | None, fast: bool) -> str:
    """The index in Markdown: a row for each notebook, then what was left out and what is otherwise on these data."""
    of = "the embedded, simulated sets" if data is None else Path(data).resolve().name
    lines = [COURSE_MARK, "", f"# The course, executed on {of}", ""]
    lines += ["Fast mode: small sizes, and rough numbers.", ""] if fast else []
    lines += ["| notebook | minutes | cell errors | parts left out |", "|---|---|---|---|"]
    for one in found:
        link = f"[{one.name.removesuffix('.ipynb')}](notebooks/{one.name})"
        lines.append(f"| {link} | {one.minutes:.1f} | {int(bool(one.failed))} | {len(one.left_out)} |")
    lines += ["", f"{counted(len(found), 'notebook')}, {sum(one.minutes for one in found):.1f} minutes."]
    for title, name in (("Left out, and why", "left_out"), ("Otherwise than on the embedded data", "not_so")):
        said = [f"- {one.name[:2]}, {section}: {text}" for one in found for section, text in getattr(one, name)]
        lines += ["", f"## {title}", "", *said] if said else []
    errors = [f"- {one.name[:2]}, {one.failed}" for one in found if one.failed]
    lines += ["", "## Errors", "", *errors] if errors else []
    return "\n".join([*lines, "", "For teaching and research; no medical device.", ""])
