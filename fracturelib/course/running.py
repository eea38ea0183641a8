"""The whole course on any data: every notebook executed with its parameters set, and an index of what came of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
from nbformat import NotebookNode

from fracturelib import __version__
from fracturelib.catalog import DataOptions, fingerprint
from fracturelib.catalog.options import DEFAULTS
from fracturelib.course.executing import CellFailed, execute, inject, section_of
from fracturelib.course.notebook import (
    COURSE_INDEX,
    COURSE_MARK,
    LEFT_OUT,
    NOT_SO,
    is_course_folder,
    read_table,
)
from fracturelib.errors import CatalogError, FracturelibError
from fracturelib.files import check_output_folder, write_text
from fracturelib.writing.words import counted

# Pictures of each class in a split, below which too many sections would be empty.
FEWEST = {"train": 4, "val": 2, "test": 2}
_RUN = "course_run"  # in the metadata of a copy: the call that made it, and what came of it


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
    made_by: dict[str, Any] = {"parameters": parameters, "fast": fast, "data_mark": data_mark}
    others = [file for file in find_notebooks(notebooks) if file not in series]
    earlier = [_kept(out / "notebooks" / file.name, _key(_read(file), **made_by)) for file in others]
    known = [outcome for outcome in earlier if outcome is not None]
    found: list[Outcome] = []

    def write_index() -> None:
        in_order = sorted([*known, *found], key=lambda outcome: outcome.name)
        write_text(out / COURSE_INDEX, index_page(in_order, data=data, fast=fast))

    write_index()
    for file in series:
        found.append(_run_one(file, out / "notebooks" / file.name, **made_by))
        write_index()
        say(_line(found[-1]))
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
    _check_enough(table, data)
    if "labels" in reading and Path(reading["labels"]).exists():
        reading["labels"] = _seen_from(out, reading["labels"])
    injected: dict[str, Any] = {"DATA": _seen_from(out, data)}
    return injected | ({"READING": reading} if reading else {}), fingerprint(table)


def _check_enough(table: pd.DataFrame, data: str | Path) -> None:
    """Raise CatalogError where a split has too few pictures of a class."""
    counts = {(split, label): 0 for split in FEWEST for label in (0, 1)}
    counts |= table.groupby(["split", "label"]).size().to_dict()
    if all(count >= FEWEST[split] for (split, _), count in counts.items()):
        return
    found = ", ".join(f"{split} {counts[split, 1]} and {counts[split, 0]}" for split in FEWEST)
    needed = ", ".join(f"{split} {count}" for split, count in FEWEST.items())
    cause = f"of each class it needs: {needed}; fractured and others here: {found}"
    raise CatalogError(
        "there are too few pictures for the course", file=data, cause=cause, cure="add pictures, or take a larger set"
    )


def _seen_from(out: Path, path: str | Path) -> str:
    """The path as the notebooks in `out` name it: relative, where that is possible."""
    try:
        return Path(os.path.relpath(path, out / "notebooks")).as_posix()
    except ValueError:  # another drive
        return str(Path(path).resolve())


def _run_one(file: Path, target: Path, *, parameters: Mapping[str, Any], fast: bool, data_mark: str) -> Outcome:
    """Execute one notebook into its copy, unless an earlier call has done so."""
    notebook = _read(file)
    key = _key(notebook, parameters=parameters, fast=fast, data_mark=data_mark)
    if kept := _kept(target, key):
        return kept
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


def _read(file: Path) -> NotebookNode:
    return nbformat.read(file, as_version=4)


def _kept(target: Path, key: str) -> Outcome | None:
    """The outcome of an earlier call that wrote this copy, where it finished with the same `_key`."""
    earlier = _made_by(target) if target.exists() else None
    if earlier is None or earlier["key"] != key or earlier["outcome"]["failed"]:
        return None
    told = {name: tuple(map(tuple, earlier["outcome"][name])) for name in ("left_out", "not_so")}
    return Outcome(**earlier["outcome"] | told | {"kept": True})


def _said(notebook: NotebookNode, name: str) -> Iterator[tuple[str, str]]:
    """(section, sentence) of the outputs that bear this name in their metadata."""
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if sentence := output.get("metadata", {}).get("fracturelib", {}).get(name):
                yield section_of(notebook, index), sentence


def without_links_out(text: str) -> str:
    """Markdown whose links to files that are no copies beside it (glossary, solutions) are plain words."""
    return re.sub(r"\[([^\]\n]+)\]\((?:\.\./|solutions/)[^)]*\)", r"\1", text)


def _key(notebook: NotebookNode, *, parameters: Mapping[str, Any], fast: bool, data_mark: str) -> str:
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
