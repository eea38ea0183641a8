"""What do more processes gain? `python -m benchmarks.scaling [--quick] [--json FILE]`.

The catalogue, features and predictions of the same pictures by 1 to 8 processes of torchrun on this machine. What each
process does for its pictures, decoding and the trunk, is replaced by a sleep for each batch, so that two cores can do
for eight machines; all else is real: listing, dealing out, collecting, writing. Seconds follow Amdahl's law,
T(n) = a + b / n (Amdahl, AFIPS 1967): a / (a + b) is the serial share, and a per picture remains whatever the number
of machines. It is an upper bound: where the processes want more than the machine has cores for, beside sleeping, that
counts as serial too. A profile of the first process says what is serial. Starting Python is left out.

The plan for 10 million pictures is calculated from a and from what a picture costs with the real trunk, measured here
on simulated radiographs. Its `train` ends where the features are computed; every process then trains a head.
"""

from __future__ import annotations

import argparse
import cProfile
import csv
import hashlib
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from benchmarks.outcome import finish, options, row
from fracturelib import loaders
from fracturelib.catalog import read_catalog
from fracturelib.catalog import table as catalog_table
from fracturelib.config import CLASS_NAMES, SPLITS, TrainConfig
from fracturelib.features import FeatureBank, compute_features
from fracturelib.images import ImageFacts, iterate_images
from fracturelib.images.reading import Picture
from fracturelib.loaders import RadiographDataset
from fracturelib.model import build_model
from fracturelib.prediction import predict_files, predict_stream, stream
from fracturelib.runs import Run
from fracturelib.runtime import available_cores
from fracturelib.runtime.processes import by_first, from_first, is_first, joined_processes, rank_and_size
from fracturelib.simulation import ensure_simulated
from fracturelib.transforms import eval_transform

PROCESSES, FEWER = (1, 2, 3, 4, 6, 8), (1, 2, 4)
BATCH, SIDE, WIDTH = 32, 32, 512  # pictures, pixels, features
BATCHES = {False: 96, True: 48}  # by --quick; all processes have equally many in every round
SLEEP = 0.1  # seconds per batch: about what the trunk takes in bfloat16 on two cores
TURNS, RESAMPLES, SHOWN = 3, 2000, 8
CONFIG = TrainConfig(weights="none", image_size=SIDE, batch_size=BATCH, device="cpu")
REAL = TrainConfig(weights="distilled", device="cpu")
GREY = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE), np.uint8)
MANY = 10_000_000
MACHINES = (1, 4, 16, 64)
PROFILE = "profile of the first process"
PICTURES = "pictures"
JOBS = ("catalogue", "features", "predict")


class Sleeper:
    """A trunk that takes its time and computes nothing."""

    identity = "sleep"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) → zeros (B, F)."""
        time.sleep(SLEEP * len(images) / BATCH)
        return torch.zeros(len(images), WIDTH)


def worker(place: Path, turns: int) -> None:
    """One of the processes: every job in turns; the first one prints the seconds of each, and keeps a profile."""
    loaders.read_radiograph = lambda *_, **__: GREY  # type: ignore[assignment]
    stream.read_picture = lambda *_, **__: Picture(GREY, False, 0.0)  # type: ignore[assignment]
    catalog_table.inspect_image = sleeping_facts  # type: ignore[assignment]
    with joined_processes():
        works = (partial(by_first, partial(read_catalog, place / PICTURES)), features_job(place), predict_job(place))
        jobs: dict[str, Callable[[], Any]] = dict(zip(JOBS, works, strict=True))
        seconds: dict[str, list[float]] = {name: [] for name in jobs}
        for _ in range(turns):
            for name, job in jobs.items():
                from_first(None)  # all begin together
                started = time.perf_counter()
                job()
                seconds[name].append(time.perf_counter() - started)
        with cProfile.Profile() as watching:  # a turn by itself, since watching takes time
            for job in jobs.values() if rank_and_size()[1] >= FEWER[-1] else ():
                job()
        if is_first():
            print(json.dumps(seconds), flush=True)
            watching.dump_stats(place / PROFILE)


def sleeping_facts(file: Path, *, polarity: str) -> ImageFacts:
    """What a file of its own would give, after a rest: at most eight threads of a process read."""
    time.sleep(SLEEP / BATCH * min(8, available_cores()))
    name = hashlib.sha256(file.name.encode()).hexdigest()
    return ImageFacts(SIDE, SIDE, "L", 8, sha256=name, content=name, grey_mean=0.5, grey_std=0.2)


def features_job(place: Path) -> Callable[[], Any]:
    """Features of all pictures into a bank that is new in every turn."""
    paths = [file.relative_to(place).as_posix() for file in sorted((place / PICTURES).rglob("*.png"))]
    hashes = [f"{number:064x}" for number in range(len(paths))]
    table = pd.DataFrame({"path": paths, "label": 0, "source_id": paths, "sha256": hashes})
    dataset = RadiographDataset(table, eval_transform(CONFIG), root=place, side=SIDE)
    model = sleeping_model()

    def compute() -> None:
        with tempfile.TemporaryDirectory(dir=place) as new:
            compute_features(model, dataset, CONFIG, bank=FeatureBank(new))

    return compute


def predict_job(place: Path) -> Callable[[], Any]:
    """Predictions of all pictures into a CSV file."""
    run = Run(Path(), CONFIG, {"threshold": 0.5}, sleeping_model(), pd.DataFrame(), {})

    def predict() -> None:
        with (place / "predicted.csv" if is_first() else Path(os.devnull)).open("w", newline="") as file:
            csv.writer(file).writerows(predict_stream(run, [place / PICTURES]))

    return predict


def sleeping_model() -> Any:
    """A classifier with a trunk that sleeps."""
    model = build_model(CONFIG)
    model.engine = Sleeper()  # type: ignore[assignment]
    return model


def write_pictures(root: Path, count: int) -> None:
    """A set of files in the project's layout; all are links to one picture."""
    folders = [root / split / name for split in SPLITS for name in CLASS_NAMES]
    for folder in folders:
        folder.mkdir(parents=True)
    Image.fromarray(GREY).save(root.with_suffix(".png"))
    for number in range(count):
        os.link(root.with_suffix(".png"), folders[number % len(folders)] / f"s{number:06d}.png")


def measured(processes: int, place: Path, settings: argparse.Namespace) -> dict[str, list[float]]:
    """Seconds of each job by so many processes, for every turn."""
    how = ["--standalone", "--nproc-per-node", str(processes), "-m", "benchmarks.scaling"]
    asked = ["--worker", str(place), *(["--quick"] if settings.quick else [])]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *how, *asked], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


def amdahl(seconds: dict[int, list[float]]) -> np.ndarray:
    """a and b of T(n) = a + b / n, (2,), by least squares of relative errors."""
    n = np.repeat(list(seconds), [len(found) for found in seconds.values()])
    times = np.concatenate(list(seconds.values()))
    return np.linalg.lstsq(np.column_stack([1 / times, 1 / (n * times)]), np.ones(len(times)), rcond=None)[0]


def resampled(seconds: dict[int, list[float]]) -> np.ndarray:
    """`amdahl` of turns drawn with replacement within each number of processes, (RESAMPLES, 2)."""
    random = np.random.default_rng(0)
    drawn = ({n: list(random.choice(found, len(found))) for n, found in seconds.items()} for _ in range(RESAMPLES))
    return np.array([amdahl(one) for one in drawn])


def job_rows(job: str, seconds: dict[int, list[float]], pictures: int) -> list[dict]:
    """Throughput and efficiency for each number of processes, and what is serial."""
    alone, rows = statistics.median(seconds[1]), []
    for n, found in seconds.items():
        speeds, shares = [pictures / one for one in found], [alone / (n * one) for one in found]
        speed, share = statistics.median(speeds), statistics.median(shares)
        rows.append(row(f"{job}, by {n}: pictures per second", speed, (min(speeds), max(speeds))))
        rows.append(row("  efficiency", share, (min(shares), max(shares))))
    (a, b), many = amdahl(seconds), resampled(seconds)
    share, per = many[:, 0] / many.sum(axis=1), many[:, 0] / pictures * 1e6
    rows.append(row(f"{job}: serial share by Amdahl's law", a / (a + b), list(np.percentile(share, [2.5, 97.5]))))
    rows.append(row(f"{job}: serial, µs per picture", a / pictures * 1e6, list(np.percentile(per, [2.5, 97.5]))))
    return rows


def print_profile(file: Path, processes: int) -> None:
    """What the first process is busy with, without sleeping and waiting for its own threads and for the others."""
    found = pstats.Stats(str(file)).stats  # type: ignore[attr-defined]
    own = sorted(((entry[2], place) for place, entry in found.items() if not _waits(place[2])), reverse=True)
    total, busy = sum(entry[2] for entry in found.values()), sum(seconds for seconds, _ in own)
    print(f"\nthe first of {processes} processes is busy for {busy / total:.0%} of the time, of that with")
    for seconds, (path, _, name) in own[:SHOWN]:
        where = "" if path == "~" else "/".join(Path(path).parts[-2:]) + " "
        print(f"  {seconds / busy:6.1%}  {where}{name}")
    inside = sorted(((entry[3], place) for place, entry in found.items() if "/fracturelib/" in place[0]), reverse=True)
    print("functions of the library in which it is longest, with what they call (and with waiting)")
    for seconds, (path, _, name) in inside[: 2 * SHOWN]:
        print(f"  {seconds / total:6.1%}  {path.split('/fracturelib/')[-1]} {name}")


def _waits(name: str) -> bool:
    return any(word in name for word in ("sleep", "acquire", "wait"))


def real_cost(root: Path, quick: bool) -> dict[str, float]:
    """What one machine of this kind needs: seconds per picture for predict and for reading facts, bytes per row."""
    files = list(islice(iterate_images(root), 128 if quick else 512))
    run = Run(Path(), REAL, {"threshold": 0.5}, build_model(REAL), pd.DataFrame(), {})
    predict_files(run, files[:BATCH])  # the first call makes the fast copy
    started = time.perf_counter()
    predict_files(run, files)
    predicted = (time.perf_counter() - started) / len(files)
    started = time.perf_counter()
    table = read_catalog(root)
    facts = (time.perf_counter() - started) / len(table)
    return {"picture": predicted, "facts": facts, "row": table.memory_usage(deep=True).sum() / len(table)}


def plan(serial: dict[str, float], cost: dict[str, float]) -> pd.DataFrame:
    """Hours that `MANY` pictures take on some machines like this one: `predict`, and `train` as far as its features.

    One machine alone pays nothing for dealing out, but writes as well.
    """
    views = REAL.views
    own = {"predict": cost["picture"], "train": cost["facts"] + cost["picture"] * views}
    first = {"predict": serial["predict"], "train": serial["catalogue"] + serial["features"] * views}
    hours = {job: [MANY * (first[job] + own[job] / n) / 3600 for n in MACHINES] for job in own}
    return pd.DataFrame({"machines": MACHINES, **hours})


def print_plan(found: pd.DataFrame, cost: dict[str, float], price: float | None) -> list[dict]:
    """Hours, cost and memory of the plan; and the same as rows."""
    print(f"\nplan for {MANY:,} pictures on machines like this one: {1 / cost['picture']:.0f} a second")
    print(f"{'machines':>9} {'predict, h':>11} {'train, h':>9} {'machine-hours':>14}{'price':>9}")
    rows = []
    for machines, predict, train in found.itertuples(index=False):
        whole = machines * (predict + train)
        paid = f"{whole * price:9,.0f}" if price else f"{'–':>9}"
        print(f"{machines:>9} {predict:>11.1f} {train:>9.1f} {whole:>14.0f}{paid}")
        rows.append(row(f"plan, {machines} machines: predict, hours", predict))
        rows.append(row(f"plan, {machines} machines: train as far as the features, {REAL.views} views, hours", train))
    table, features = MANY * cost["row"] / 1e9, MANY * REAL.views * WIDTH * 4 / 1e9
    print(
        f"memory of every process that trains: {table:.0f} GB for the table and {features:.0f} GB for the features of "
        f"{REAL.views} views, on disk\nin the first one (--features-limit {features + 1:.0f}); predict keeps nothing\n"
    )
    return [*rows, row("plan: the table, GB", table), row("plan: features, GB", features)]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if a bar is missed."""
    parser = options("scaling", __doc__, quick="1, 2 and 4 processes, half of the pictures, one turn")
    parser.add_argument("--price", type=float, metavar="AMOUNT", help="of one machine for an hour, for the plan")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    settings = parser.parse_args(arguments)
    quick = settings.quick
    if settings.worker:
        worker(settings.worker, 1 if quick else TURNS)
        return 0
    counts = FEWER if quick else PROCESSES
    pictures = BATCHES[quick] * BATCH
    found: dict[int, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        write_pictures(place / PICTURES, pictures)
        for n in counts:
            started = time.perf_counter()
            found[n] = measured(n, place, settings)
            print(f"{n} processes: {time.perf_counter() - started:.0f} s with their start", flush=True)
        print_profile(place / PROFILE, counts[-1])
    by_job = {job: {n: one[job] for n, one in found.items()} for job in JOBS}
    rows = [line for job in JOBS for line in job_rows(job, by_job[job], pictures)]
    serial = {job: max(0.0, amdahl(by_job[job])[0]) / pictures for job in JOBS}
    cost = real_cost(Path(ensure_simulated("data/simulated")), quick)
    rows += print_plan(plan(serial, cost), cost, settings.price)
    return finish(rows, quick=quick, file=settings.json)


if __name__ == "__main__":
    sys.exit(main())
