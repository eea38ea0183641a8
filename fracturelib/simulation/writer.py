"""Writes a simulated set: streams patients through a few processes, survives interruption, spares foreign folders."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from fracturelib.catalog import BOX
from fracturelib.config import CLASS_NAMES, SPLITS
from fracturelib.errors import FracturelibError
from fracturelib.files import write_text
from fracturelib.files.locks import exclusive
from fracturelib.runtime import available_cores
from fracturelib.simulation.patient import draw_patient, draw_setting
from fracturelib.simulation.picture import SimulatedRadiograph, take_radiograph
from fracturelib.simulation.plan import GENERATOR, File, Job, Plan, job_count, jobs, make_plan

MANIFEST = "simulation.json"
METADATA = "metadata.csv"
ROWS = "rows.jsonl"  # what a half-made set knows about its finished patients
COLUMNS = (
    "file", "patient_id", "source_id", "view", "region", "age_group", "fracture_type", "displacement_mm", "conspicuity",
    *BOX, "hardware", "cast", "device",
)  # fmt: skip
JPEG_QUALITY = 92
Box = tuple[int, int, int, int]  # x, y, width, height in pixels
SERIAL_BELOW = 12  # patients: fewer are made faster than processes start


def simulate(root: str | Path, *, progress: bool = True, workers: int | None = None, **settings: Any) -> pd.DataFrame:
    """Make a set of simulated radiographs at `root` and return its metadata table.

    The set is built beside `root` and moved there when complete; an interrupted call is taken up again by the next one
    with the same settings. A set that this function made earlier at `root` is replaced.

    Args:
        root: folder to make; below it come train, val and test, each with the two class folders, and metadata.csv.
        progress: show a progress bar.
        workers: processes; None for one per core. The result does not depend on it.
        settings: what the set holds: `seed`, `counts`, `leaky` and the others of `make_plan`.

    Raises:
        FracturelibError: a setting is out of range, or `root` holds something that was not made here.
    """
    root = Path(root)
    _make(root, make_plan(**settings), progress, workers, renew=True)
    table = pd.read_csv(root / METADATA, dtype=dict.fromkeys(BOX, "Int64"))
    table.attrs["root"] = str(root)
    return table


def ensure_simulated(root: str | Path, *, progress: bool = True, workers: int | None = None, **settings: Any) -> Path:
    """Do as `simulate` does, unless `root` already holds that very set, complete; returns `root`."""
    root = Path(root)
    _make(root, make_plan(**settings), progress, workers, renew=False)
    return root


def _make(root: Path, plan: Plan, progress: bool, workers: int | None, *, renew: bool) -> None:
    if not renew and is_complete(root, plan):
        return
    _refuse_foreign(root)
    with _one_builder(root):
        if renew or not is_complete(root, plan):  # another process may have made it while this one waited
            _build(root, plan, progress=progress, workers=workers)


@contextmanager
def _one_builder(root: Path) -> Iterator[None]:
    """One process at a time builds the folder; the lock file stands beside it, since the folder is replaced."""
    root.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(root.with_name(f".{root.name}.lock")):
        yield


def is_complete(root: Path, plan: Plan) -> bool:
    """Whether `root` holds the set of this plan with all its files."""
    manifest = _read_json(root / MANIFEST)
    if manifest is None or manifest != plan.manifest() or not (root / METADATA).is_file():
        return False
    folders = [root / split / name for split in SPLITS for name in CLASS_NAMES]
    return sum(1 for folder in folders if folder.is_dir() for _ in folder.iterdir()) == plan.total


def _build(root: Path, plan: Plan, *, progress: bool, workers: int | None) -> None:
    partial = root.with_name(f".{root.name}.partial")
    done = _resume(partial, plan)
    todo = islice(jobs(plan), done, None)
    bar = tqdm(total=job_count(plan), initial=done, desc="simulating", unit="patient", disable=not progress)
    with bar, (partial / ROWS).open("a", encoding="utf-8") as log:
        for rows in _map_jobs(todo, job_count(plan) - done, partial, plan.image_side, workers):
            log.write(json.dumps(rows) + "\n")
            log.flush()
            bar.update()
    _finish(partial, plan)
    _swap(partial, root)


def _resume(partial: Path, plan: Plan) -> int:
    """How many patients an earlier, interrupted call finished; starts afresh if it had other parameters."""
    if _read_json(partial / MANIFEST) == plan.manifest() and (partial / ROWS).is_file():
        lines = (partial / ROWS).read_bytes().split(b"\n")[:-1]  # what follows the last line break was cut short
        (partial / ROWS).write_bytes(b"".join(line + b"\n" for line in lines))
        return len(lines)
    shutil.rmtree(partial, ignore_errors=True)
    for split in SPLITS:
        for name in CLASS_NAMES:
            (partial / split / name).mkdir(parents=True)
    write_text(partial / MANIFEST, json.dumps(plan.manifest(), indent=1))
    return 0


def _finish(partial: Path, plan: Plan) -> None:
    """Rows of all patients → metadata.csv, ordered by split; a leaky set's copies are sorted by name within it."""
    with (partial / ROWS).open(encoding="utf-8") as log:
        table = pd.DataFrame([row for line in log for row in json.loads(line)], columns=COLUMNS)
    if plan.leaky:
        rank = table["file"].str.split("/").str[0].map(SPLITS.index)
        table = table.assign(rank=rank).sort_values(["rank", "file"]).drop(columns="rank")
    table = table.astype(dict.fromkeys(BOX, "Int64"))
    table.to_csv(partial / METADATA, index=False, lineterminator="\n")
    (partial / ROWS).unlink()


def _swap(partial: Path, root: Path) -> None:
    """Put the finished set in its place; an older set goes only once the new one is complete."""
    old = root.with_name(f".{root.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if root.exists():
        root.rename(old)
    partial.rename(root)
    shutil.rmtree(old, ignore_errors=True)


def _refuse_foreign(root: Path) -> None:
    """Raise if `root` holds anything that this module did not write."""
    manifest = _read_json(root / MANIFEST)
    ours = isinstance(manifest, dict) and manifest.get("generator") == GENERATOR
    if root.exists() and not ours and not (root.is_dir() and not any(root.iterdir())):
        raise FracturelibError(
            "the folder holds something other than a simulated set", file=root,
            cause=f"it has no {MANIFEST} of this generator", cure="choose a new folder, or empty this one yourself",
        )  # fmt: skip


def _read_json(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _map_jobs(
    todo: Iterable[Job], count: int, folder: Path, image_side: int, workers: int | None
) -> Iterator[list[dict]]:
    """The rows of each patient, in order; a sliding window of patients keeps memory bounded."""
    workers = available_cores() if workers is None else workers
    if workers < 2 or count < SERIAL_BELOW or multiprocessing.parent_process() is not None:
        yield from (write_patient(job, folder, image_side) for job in todo)
        return
    # Where it exists, fork needs no guard in the caller's script; the workers use neither torch nor threads.
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    yield from run_pool(todo, folder, image_side, workers, method)


def run_pool(todo: Iterable[Job], folder: Path, image_side: int, workers: int, method: str) -> Iterator[list[dict]]:
    """`write_patient` in processes; results come in the order of the jobs."""
    context = multiprocessing.get_context(method)
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_ignore_interrupt)
    pending: deque = deque()
    try:
        for job in todo:
            pending.append(pool.submit(write_patient, job, folder, image_side))
            if len(pending) >= 8 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def write_patient(job: Job, folder: Path, image_side: int) -> list[dict]:
    """Make one patient's radiographs, write the files, and return their metadata rows."""
    patient = draw_patient(job.entropy, draw_setting(job.block), fractured=job.fractured)
    taken: dict[str, SimulatedRadiograph] = {}
    rows = []
    for file in job.files:
        if file.view not in taken:
            taken[file.view] = take_radiograph(patient, file.view, device=job.device, image_side=image_side)
        rows.append(_write_file(taken[file.view], file, job, folder))
    return rows


def _write_file(radiograph: SimulatedRadiograph, file: File, job: Job, folder: Path) -> dict:
    patient, fracture = radiograph.patient, radiograph.patient.fracture
    relative = f"{file.split}/{CLASS_NAMES[int(job.fractured)]}/{file.name}"
    picture = Image.fromarray(radiograph.picture)
    box = radiograph.bbox
    if file.degrees:
        # Corners turn black and the frame stays: the traces of careless augmentation.
        picture = picture.rotate(file.degrees, resample=Image.Resampling.BILINEAR)
        box = _rotate_box(box, file.degrees, picture.size)
    picture.save(folder / relative, quality=JPEG_QUALITY)
    values = (
        relative, job.patient_id, f"{job.patient_id}-{file.view}", file.view,
        patient.setting.region, patient.setting.age_group,
        fracture.kind if fracture else "none", round(fracture.displacement, 2) if fracture else None,
        round(radiograph.conspicuity, 3) if fracture else None, *(box or (None,) * 4),
        int(patient.setting.hardware), int(patient.setting.cast), job.device,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))


def _rotate_box(box: Box | None, degrees: float, size: tuple[int, int]) -> Box | None:
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


def _ignore_interrupt() -> None:
    """Ctrl-C is the parent's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
