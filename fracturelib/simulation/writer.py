"""Writes a simulated set: streams patients through a few processes, survives interruption, spares other files."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from fracturelib.catalog import BOX
from fracturelib.config import CLASS_NAMES
from fracturelib.files import write_text
from fracturelib.runtime import available_cores, serve_parent
from fracturelib.simulation.devices import shifted_device
from fracturelib.simulation.formats import accession_number, check_format, relative_path, study_uid, write_picture
from fracturelib.simulation.home import (
    LABELS,
    MANIFEST,
    METADATA,
    move_in,
    one_builder,
    place_beside_older,
    read_json,
    refuse_others,
)
from fracturelib.simulation.patient import draw_patient
from fracturelib.simulation.picture import SimulatedRadiograph, take_radiograph
from fracturelib.simulation.plan import File, Job, Plan, job_count, jobs, make_plan

ROWS = "rows.jsonl"  # what a half-made set knows about its finished patients
COLUMNS = (
    "file", "patient_id", "source_id", "view", "region", "age_group", "fracture_type", "displacement_mm", "conspicuity",
    *BOX, "hardware", "cast", "device",
)  # fmt: skip
Box = tuple[int, int, int, int]  # x, y, width, height in pixels
SERIAL_BELOW = 12  # patients: fewer are made faster than processes start


def simulate(
    root: str | Path, *, replace: bool = False, progress: bool = True, workers: int | None = None, **settings: Any
) -> pd.DataFrame:
    """Make a set of simulated radiographs at `root`, unless it is there, and return its metadata table.

    The set is built beside `root` and moved there when complete; an interrupted call is taken up again by the next one
    with the same settings. Files in `root` that are not the set's own are never touched.

    Args:
        root: folder to make; below it come train, val and test, each with the two class folders, and metadata.csv.
            As DICOM it holds a tree of studies, metadata.csv, and labels.csv by accession number.
        replace: put the set in the place of another simulated one; otherwise that is an error.
        progress: show a progress bar.
        workers: processes; None for one per core. The result does not depend on it.
        settings: what the set holds: `seed`, `counts`, `leaky` and the others of `make_plan`.

    Raises:
        FracturelibError: a setting is out of range, or `root` holds something else.
    """
    root, plan = Path(root), make_plan(**settings)
    _ensure(root, plan, replace, progress, workers)
    table = pd.read_csv(root / METADATA, dtype=dict.fromkeys(BOX, "Int64"))
    table.attrs["root"] = str(root)
    return table


def ensure_simulated(root: str | Path, *, progress: bool = True, workers: int | None = None, **settings: Any) -> Path:
    """Do as `simulate` does, but beside a set that an older version made; returns the folder of the set."""
    root, plan = place_beside_older(Path(root)), make_plan(**settings)
    _ensure(root, plan, False, progress, workers)
    return root


def is_complete(root: Path, plan: Plan) -> bool:
    """Whether `root`, or the folder beside an older set there, holds the set of this plan with all its files."""
    root = place_beside_older(root)
    return (
        read_json(root / MANIFEST) == plan.manifest()
        and (root / METADATA).is_file()
        and all((root / name).is_file() for name in _planned(plan))
    )


def _ensure(root: Path, plan: Plan, replace: bool, progress: bool, workers: int | None) -> None:
    if is_complete(root, plan):
        return
    check_format(plan.format)
    refuse_others(root, plan, _planned(plan), replace=replace)
    real = Path(os.path.realpath(root))  # the set goes to where a link points
    with one_builder(real):
        if not is_complete(real, plan):  # another process may have made it while this one waited
            _build(real, plan, progress=progress, workers=workers)


def _planned(plan: Plan) -> Iterator[str]:
    """The pictures of a set, relative to its folder."""
    return (relative_path(job, file, plan.format) for job in jobs(plan) for file in job.files)


def _build(root: Path, plan: Plan, *, progress: bool, workers: int | None) -> None:
    partial = root.with_name(f".{root.name}.partial")
    done = _resume(partial, plan)
    todo = islice(jobs(plan), done, None)
    bar = tqdm(total=job_count(plan), initial=done, desc="simulating", unit="patient", disable=not progress)
    with bar, (partial / ROWS).open("a", encoding="utf-8") as log:
        for rows in _map_jobs(todo, job_count(plan) - done, partial, plan, workers):
            log.write(json.dumps(rows) + "\n")
            log.flush()
            bar.update()
    _finish(partial, plan)
    move_in(partial, root, plan)


def _resume(partial: Path, plan: Plan) -> int:
    """How many patients an earlier, interrupted call finished; starts afresh if it had other settings."""
    if read_json(partial / MANIFEST) == plan.manifest() and (partial / ROWS).is_file():
        lines = (partial / ROWS).read_bytes().split(b"\n")[:-1]  # what follows the last line break was cut short
        (partial / ROWS).write_bytes(b"".join(line + b"\n" for line in lines))
        return len(lines)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    if plan.format != "dicom":
        for split, _ in plan.counts:
            for name in CLASS_NAMES:
                (partial / split / name).mkdir(parents=True)
    write_text(partial / MANIFEST, json.dumps(plan.manifest(), indent=1))
    return 0


def _finish(partial: Path, plan: Plan) -> None:
    """Rows of all patients → metadata.csv, ordered by split; a leaky set's copies are sorted by name within it."""
    with (partial / ROWS).open(encoding="utf-8") as log:
        table = pd.DataFrame([row for line in log for row in json.loads(line)], columns=COLUMNS)
    if plan.leaky:
        rank = table["file"].str.split("/").str[0].map([split for split, _ in plan.counts].index)
        table = table.assign(rank=rank).sort_values(["rank", "file"]).drop(columns="rank")
    table = table.astype(dict.fromkeys(BOX, "Int64"))
    table.to_csv(partial / METADATA, index=False, lineterminator="\n")
    if plan.format == "dicom":
        studies = [
            (accession_number(job), study_uid(job), job.patient_id, job.files[0].split, CLASS_NAMES[int(job.fractured)])
            for job in jobs(plan)
        ]
        columns = ["accession_number", "study_instance_uid", "patient_id", "split", "label"]
        pd.DataFrame(studies, columns=columns).to_csv(partial / LABELS, index=False, lineterminator="\n")
    (partial / ROWS).unlink()


def _map_jobs(todo: Iterable[Job], count: int, folder: Path, plan: Plan, workers: int | None) -> Iterator[list[dict]]:
    """The rows of each patient, in order; a sliding window of patients keeps memory bounded."""
    workers = available_cores() if workers is None else workers
    if workers < 2 or count < SERIAL_BELOW or multiprocessing.parent_process() is not None:
        yield from (write_patient(job, folder, plan) for job in todo)
        return
    # Where it exists, fork needs no guard in the caller's script; the workers use neither torch nor threads.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    yield from run_pool(todo, folder, plan, workers, method)


def run_pool(todo: Iterable[Job], folder: Path, plan: Plan, workers: int, method: str) -> Iterator[list[dict]]:
    """`write_patient` in processes; results come in the order of the jobs."""
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=serve_parent)
    pending: deque = deque()
    try:
        for job in todo:
            pending.append(pool.submit(write_patient, job, folder, plan))
            if len(pending) >= 8 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def write_patient(job: Job, folder: Path, plan: Plan) -> list[dict]:
    """Make one patient's radiographs, write the files, and return their metadata rows."""
    patient = draw_patient(job.entropy, job.setting, fractured=job.fractured)
    device = shifted_device(job.shift)
    taken: dict[str, SimulatedRadiograph] = {}
    rows = []
    for file in job.files:
        if file.view not in taken:
            taken[file.view] = take_radiograph(patient, file.view, device=device, image_side=plan.image_side)
        path = relative_path(job, file, plan.format)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_picture(folder / path, taken[file.view], job, file, plan.format)
        rows.append(_row(path, taken[file.view], file, job))
    return rows


def _row(path: str, radiograph: SimulatedRadiograph, file: File, job: Job) -> dict:
    """The line of metadata.csv."""
    setting, fracture = job.setting, radiograph.patient.fracture
    box = radiograph.bbox
    if file.degrees:
        box = _rotate_box(box, file.degrees, radiograph.grey.shape[::-1])
    values = (
        path, job.patient_id, f"{job.patient_id}-{file.view}", file.view, setting.region, setting.age_group,
        fracture.kind if fracture else "none", round(fracture.displacement, 2) if fracture else None,
        round(radiograph.conspicuity, 3) if fracture else None, *(box or (None,) * 4),
        int(setting.hardware), int(setting.cast), shifted_device(job.shift).name,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _rotate_box(box: Box | None, degrees: float, size: tuple[int, ...]) -> Box | None:
    """The upright box around a box that was turned counter-clockwise about the middle of the picture."""
    if box is None:
        return None
    x, y, w, h = box
    corners = np.array([(x, y), (x + w, y), (x, y + h), (x + w, y + h)], dtype=float) - np.array(size) / 2
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    turned = corners @ np.array([[cos, -sin], [sin, cos]]) + np.array(size) / 2
    low = np.clip(np.floor(turned.min(axis=0)), 0, np.array(size) - 1)
    high = np.clip(np.ceil(turned.max(axis=0)), low + 1, size)
    return int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])
