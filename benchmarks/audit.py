"""Does the audit count radiographs rightly? `python -m benchmarks.audit [--quick] [--only PART …] [--json FILE]`.

On the wrist set with and without its names, on FracAtlas, and on simulated sets; then time and memory for 10,000 files,
and what a random split makes of the wrist set. `--only huge` (100,000 files, and 1,000 more) takes half an hour and 10
GB of disk, and is left out unless it is named. The thresholds of `audit.registration` were chosen on half of the
sources of the wrist set and of FracAtlas (those whose name has an even MD5); the rows "held-out half" are about the
others, which had no part in that. The real sets lie in the folder that FRACTURELIB_REAL_DATA names (default
`../shared/data`); a set that is absent is left out, said aloud.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
import pandas as pd
import torch
from sklearn.metrics.cluster import pair_confusion_matrix

from benchmarks import planted
from benchmarks.outcome import finish, options, row
from benchmarks.trunks import DataSet as TrunkData
from benchmarks.trunks import auc_draws, by_head, by_regression, features
from fracturelib.audit import Audit, audit, neighbours
from fracturelib.audit.result import FINDINGS
from fracturelib.catalog import survey
from fracturelib.config import TrainConfig
from fracturelib.errors import FracturelibWarning
from fracturelib.images import read_radiograph
from fracturelib.loaders import RadiographDataset
from fracturelib.simulation import ensure_simulated
from fracturelib.transforms import eval_transform
from fracturelib.trunks.weights import load_trunk

REAL = Path(os.environ.get("FRACTURELIB_REAL_DATA", "../shared/data"))
WRIST, FRACATLAS = REAL / "wrist_rotated", REAL / "fracatlas_slice"
# Originals that stand in the wrist set twice. Each pair was looked at, laid on each other: 84 is a crop of 58, and
# val 4 is train 4. (The set's description puts 29/46 and 30/47 into the other class; there they are different limbs.)
WRIST_COPIES = {"val/not fractured/3": "train/not fractured/69", "val/not fractured/4": "train/not fractured/4"}
WRIST_COPIES |= {f"train/fractured/{a}": f"train/fractured/{b}" for a, b in ((83, 57), (84, 58), (85, 59), (86, 60))}
WRIST_COPIES |= {f"train/not fractured/{a}": f"train/not fractured/{b}" for a, b in ((46, 29), (47, 30))}
LARGE, LARGE_SIDE, COPIED = 10_000, 224, 0.25  # files of the large set, their side in pixels, share of rotated copies
BEND = 6.0  # pixels by which they are bent
HUGE, ADDED, LATER = 100_000, 1000, "later"  # files of the largest set, and those that are added, from which folder
CORES = 2
COPIED_REAL = 60  # FracAtlas pictures of which every kind of copy is planted
# FracAtlas holds some radiographs twice. All pairs that the audit joins were looked at; those above this correlation
# show the same radiograph, and one below it counts as a false alarm.
LOOKED_ALIKE = 0.92


def wrist_truth(path: str) -> str:
    """The original behind a wrist file: its split, class and number, or the one that this is known to be a copy of."""
    split, label, name = path.split("/")
    own = f"{split}/{label}/{name.split('-')[0].split('.')[0]}"
    return WRIST_COPIES.get(own, own)


def held_out(name: str) -> bool:
    """Whether a source is in the half that had no part in choosing the thresholds."""
    return int(hashlib.md5(name.encode()).hexdigest(), 16) % 2 == 1


def pair_scores(truth: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """Precision and recall of the pairs "same radiograph"; both arguments (n,) name each file's source."""
    (_, wrong), (missed, right) = pair_confusion_matrix(pd.factorize(truth)[0], pd.factorize(found)[0])
    return right / max(wrong + right, 1), right / max(missed + right, 1)


def quietly(root: Path, **options: object) -> Audit:
    """The audit of a folder; warts of these sets are known."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FracturelibWarning)
        table = survey(root)
        rows = options.pop("rows", None)
        if rows is not None:
            table = table[[rows(path) for path in table["path"]]].reset_index(drop=True)
            table.attrs = {"root": str(root), "skipped": []}
        return audit(table, progress=False, **options)


def _every_third(path: str) -> bool:
    """A third of the files, drawn by name."""
    return int(hashlib.md5(path.encode()).hexdigest(), 16) % 3 == 0


def wrist_rows(*, quick: bool) -> list[dict]:
    """Sources with names; pairs without."""
    part: Callable[[str], bool] | None = _every_third if quick else None
    named = quietly(WRIST, rows=part)
    rows = [row("wrist, with names: sources", named.n_sources, bar="≤ 190", holds=named.n_sources <= 190)]
    source = named.table.set_index("path")["source_id"]
    three, other = (
        {source[path] for path in source.index if path.startswith(start)}
        for start in ("val/not fractured/3-", "train/not fractured/69-")
    )
    if three and other:
        rows.append(row("wrist: val 3 = train 69 found", three == other, bar="1", holds=three == other))
    blind = quietly(WRIST, rows=part, names=False)
    truth = blind.table["path"].map(wrist_truth)
    for label, chosen in (("", np.ones(len(truth), bool)), (", held-out half", truth.map(held_out).to_numpy())):
        precision, recall = pair_scores(truth[chosen].to_numpy(), blind.table["source_id"][chosen].to_numpy())
        rows.append(
            row(f"wrist, without names{label}: precision of pairs", precision, bar="≥ 0.98", holds=precision >= 0.98)
        )
        rows.append(row(f"wrist, without names{label}: recall of pairs", recall, bar="≥ 0.90", holds=recall >= 0.90))
    return rows


def fracatlas_rows(*, quick: bool) -> list[dict]:
    """Files joined with a file that is not plainly the same radiograph (correlation below LOOKED_ALIKE)."""
    rows = []
    result = quietly(FRACATLAS, rows=(lambda path: path.startswith("test/")) if quick else None)
    doubtful = result.links[result.links["correlation"].fillna(1) < LOOKED_ALIKE]
    for link in result.links.itertuples():
        print(f"FracAtlas: {link.path_one} = {link.path_other}: {link.how}, correlation {link.correlation:.3f}")
    paths = result.table["path"]
    ends = set(doubtful["path_one"]) | set(doubtful["path_other"])
    for label, chosen in (("", paths), (", held-out half", paths[[held_out(Path(path).stem) for path in paths]])):
        false = len(ends & set(chosen)) / max(len(chosen), 1)
        rows.append(
            row(f"FracAtlas{label}: share of files in a doubtful group", false, bar="≤ 0.01", holds=false <= 0.01)
        )
    return rows


def planted_rows(*, quick: bool) -> list[dict]:
    """Copies planted among FracAtlas pictures: pairs found by the audit, and by others at their best threshold."""
    alone = quietly(FRACATLAS).table.drop_duplicates("source_id")["path"]  # it holds some radiographs twice
    files = [FRACATLAS / path for path in alone.sample(frac=1, random_state=0)][: 60 if quick else None]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "planted"
        known = planted.plant(files, folder, copied=8 if quick else COPIED_REAL)
        kept = Path(name) / "kept"
        result = quietly(folder, names=False, memory=kept)
        truth = np.array([known[path][0] for path in result.table["path"]])
        kinds = np.array([known[path][1] for path in result.table["path"]])
        found = result.table["source_id"].to_numpy()
        precision, recall = pair_scores(truth, found)
        rows = [
            row("planted copies: precision of pairs", precision, bar="≥ 0.99", holds=precision >= 0.99),
            row("planted copies: recall of pairs", recall, bar="≥ 0.95", holds=recall >= 0.95),
        ]
        (kept / FINDINGS).unlink()
        with patch.multiple(neighbours, EXACT=0, AFFORDED=0):  # as for a large set; pairs that were compared are known
            indexed = quietly(folder, names=False, memory=kept).table["source_id"].to_numpy()
        precision, share = pair_scores(truth, indexed)
        rows += [
            row("planted copies, by the index: precision of pairs", precision, bar="≥ 0.99", holds=precision >= 0.99),
            row("planted copies, by the index: recall of pairs", share, bar="≥ 0.95", holds=share >= 0.95),
        ]
        original = {source: group for source, kind, group in zip(truth, kinds, found, strict=True) if not kind}
        for kind in planted.CHANGES:
            here = kinds == kind
            share = np.mean([original[source] == group for source, group in zip(truth[here], found[here], strict=True)])
            rows.append(row(f"planted copies, {kind}: found with the original", float(share)))
        for opponent, hashes in planted.opponents():
            rows += _opponent_rows(opponent, hashes([folder / path for path in result.table["path"]]), truth)
    return rows


def _opponent_rows(name: str, bits: np.ndarray, truth: np.ndarray) -> list[dict]:
    """The most pairs that hashes find at a precision of 0.99, or the most precise where none reaches it."""
    found = [pair_scores(truth, planted.groups_within(bits, most)) for most in range(planted.MOST_BITS + 1)]
    precision, recall = max(found, key=lambda one: (min(one[0], 0.99), one[1]))
    return [
        row(f"planted copies, {name}: precision of pairs", precision),
        row(f"planted copies, {name}: recall of pairs", recall),
    ]


def simulated_rows(*, quick: bool) -> list[dict]:
    """Planted copies found, and no two radiographs merged."""
    rows = []
    for name, leaky, count in (("leaky", True, 120 if quick else 600), ("clean", False, 90 if quick else 900)):
        root = ensure_simulated(Path("data") / f"audit-{name}-{count}", counts=count, leaky=leaky, progress=False)
        truth = pd.read_csv(root / "metadata.csv").set_index("file")["source_id"]
        result = quietly(root, names=False)
        true, found = truth[result.table["path"]].to_numpy(), result.table["source_id"].to_numpy()
        _, recall = pair_scores(true, found)
        merged = int(((pd.crosstab(true, found) > 0).sum(axis=0) > 1).sum())
        rows.append(row(f"simulated, {name}: radiographs merged wrongly", merged, bar="0", holds=merged == 0))
        if leaky:
            rows.append(row("simulated, leaky: planted copies found", recall, bar="1", holds=recall == 1))
    return rows


def make_large(folder: Path, count: int, *, later: int = 0) -> dict[str, int]:
    """`count` distinct radiographs of LARGE_SIDE pixels, a part of them rotated copies of others.

    Each is a mixture of two simulated radiographs, both bent at random: fast to make, and no two are the same, even
    where they share one of the two. The last `later` of them go
    to a folder LATER beside the set.

    Returns:
        path in the set → the number of its original.
    """
    root = ensure_simulated("data/simulated", progress=False)
    files = sorted(root.glob("*/*/*.png"))
    generator, truth, original = np.random.default_rng(0), {}, 0
    base = [cv2.resize(read_radiograph(file, target_side=LARGE_SIDE), (LARGE_SIDE,) * 2) for file in files]
    pixels = base[0]
    for number in range(count):
        if generator.random() < COPIED and number:
            turn = cv2.getRotationMatrix2D((LARGE_SIDE / 2,) * 2, generator.uniform(-40, 40), 1)
            pixels = cv2.warpAffine(pixels, turn, (LARGE_SIDE,) * 2)
        else:
            one, other = generator.integers(len(base), size=2)
            pixels, original = mixture(base[one], base[other], generator), number
        path = f"{('train', 'val', 'test')[number % 3]}/{('fractured', 'not fractured')[number % 2]}/{number:06d}.jpg"
        target = folder.with_name(LATER) / path if number >= count - later else folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), pixels, [cv2.IMWRITE_JPEG_QUALITY, 90])
        truth[path] = original
    return truth


def mixture(one: np.ndarray, other: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Two square pictures, the second one mirrored, each bent, laid over each other."""
    return cv2.addWeighted(_bent(one, generator), 0.5, _bent(other[:, ::-1], generator), 0.5, 0)


def _bent(pixels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """A square picture under a smooth displacement that no affine map undoes."""
    side = len(pixels)
    shifts = generator.normal(0, BEND, (2, 5, 5)).astype(np.float32)  # pixels, on a coarse grid
    across, down = (cv2.resize(shift, (side, side), interpolation=cv2.INTER_CUBIC) for shift in shifts)
    place = np.arange(side, dtype=np.float32)
    return cv2.remap(np.ascontiguousarray(pixels), across + place, down + place[:, None], cv2.INTER_LINEAR)


def speed_rows(*, quick: bool) -> list[dict]:
    """The whole command on 10,000 files, twice, on two cores."""
    count = 500 if quick else LARGE
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = make_large(folder / "set", count)
        cold, memory = audited(folder, "cold")
        rows = [
            row(f"{count:,} files: seconds, first time", cold, bar="≤ 100", holds=cold <= 100),
            *_found_rows(folder, truth),
        ]
        warm, _ = audited(folder, "again")
    return [
        *rows,
        row(f"{count:,} files: seconds, second time", warm, bar="≤ 20", holds=warm <= 20),
        row(f"{count:,} files: GB of memory", memory, bar="≤ 3", holds=memory <= 3),
    ]


def huge_rows(*, quick: bool) -> list[dict]:
    """The whole command on 100,000 files, on two cores, and again when 1,000 more have come."""
    count, added = (2000, 100) if quick else (HUGE, ADDED)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth = make_large(folder / "set", count + added, later=added)
        cold, memory = audited(folder, "cold")
        for file in sorted((folder / LATER).glob("*/*/*.jpg")):
            file.rename(folder / "set" / file.relative_to(folder / LATER))
        more, peak = audited(folder, f"{added:,} added")
        found = _found_rows(folder, truth)
        disk = sum(file.stat().st_size for file in (folder / "report").rglob("*") if file.is_file()) / 1e9
    return [
        row(f"{count:,} files: minutes, first time", cold / 60, bar="≤ 45", holds=cold <= 45 * 60),
        row(f"{count:,} files: GB of memory", max(memory, peak), bar="≤ 4", holds=max(memory, peak) <= 4),
        row(f"{count:,} files: GB on disk that are kept", disk),
        row(f"{added:,} files added to {count:,}: seconds", more, bar="≤ 120", holds=more <= 120),
        *found,
    ]


def _found_rows(folder: Path, truth: dict[str, int]) -> list[dict]:
    """Pairs of the large set that the last audit of it found."""
    found = pd.read_csv(folder / "report" / "sources.csv").set_index("file")["source_id"]
    precision, recall = pair_scores(found.index.map(truth).to_numpy(), found.to_numpy())
    what = f"{len(found):,} files"
    return [
        row(f"{what}: precision of pairs", precision, bar="≥ 0.99", holds=precision >= 0.99),
        row(f"{what}: recall of pairs", recall, bar="≥ 0.95", holds=recall >= 0.95),
    ]


def audited(folder: Path, what: str) -> tuple[float, float]:
    """Seconds and GB of memory that the command takes for the set in a folder; prints what its progress bars said."""
    command = [sys.executable, "-m", "fracturelib.cli", "audit", str(folder / "set"), "--report"]
    start = time.perf_counter()
    with (folder / "said").open("w+b") as said:
        process = subprocess.Popen(
            [*command, str(folder / "report")], stdout=subprocess.DEVNULL, stderr=said, preexec_fn=_two_cores
        )
        memory = 0.0
        while process.poll() is None:
            memory = max(memory, _memory_of(process.pid))
            time.sleep(0.5)
        seconds = time.perf_counter() - start
        said.seek(0)
        lines = re.split(r"[\r\n]+", said.read().decode(errors="replace"))
    stages: dict[str, list[str]] = {}
    for line in lines:  # a bar begins anew at 0 %
        bar = re.match(r"([A-Z][A-Za-z ]+): +(\d+)%", line)
        if bar:
            runs = stages.setdefault(bar[1], [""])
            if "100%" in runs[-1] and bar[2] != "100":
                runs.append("")
            runs[-1] = line
    print(f"{what}: {seconds:.1f} s, {memory:.2f} GB", *chain.from_iterable(stages.values()), sep="\n  ", flush=True)
    if process.returncode:
        raise RuntimeError("\n".join(lines[-20:]))
    return seconds, memory


def _memory_of(number: int) -> float:
    """GB of a process and its children, shared pages counted once; without /proc the largest child that ended."""
    place = Path("/proc") / str(number)
    try:
        size = re.search(r"^Pss: +(\d+)", (place / "smaps_rollup").read_text(), re.M)
        children = [int(child) for task in place.glob("task/*/children") for child in task.read_text().split()]
    except OSError:
        return 0.0 if Path("/proc").is_dir() else resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    return (int(size[1]) / 1e6 if size else 0.0) + sum(map(_memory_of, children))


def _two_cores() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def split_rows(*, quick: bool) -> list[dict]:
    """AUC on the wrist set, cross-validated by file and by source; intervals over sources in both."""
    table = quietly(WRIST).table
    if quick:
        table = table.sample(n=240, random_state=0).sort_index().reset_index(drop=True)
    config = TrainConfig()
    dataset = RadiographDataset(table, eval_transform(config), root=WRIST, side=config.image_size)
    images = torch.stack([dataset[number][0] for number in range(len(dataset))])
    trunk, _ = load_trunk("resnet18", "distilled")
    found = features(trunk.eval(), images)
    rows = []
    for name, classifier in (("logistic regression", by_regression), ("recipe's head", by_head)):
        for split, group in (("random split of files", "path"), ("split by source", "source_id")):
            data = TrunkData("wrist", table.assign(group=table[group]), images, crossed=True)
            chance = classifier(data, found)
            judged = TrunkData("wrist", table.assign(group=table["source_id"]), images, crossed=True)
            value, draws = auc_draws(judged, chance)
            rows.append(row(f"wrist, {name}, {split}: AUC", value, np.quantile(draws, [0.025, 0.975])))
    return rows


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if a bar is missed."""
    parts = {
        "wrist": (wrist_rows, WRIST),
        "split": (split_rows, WRIST),
        "fracatlas": (fracatlas_rows, FRACATLAS),
        "planted": (planted_rows, FRACATLAS),
        "simulated": (simulated_rows, None),
        "speed": (speed_rows, None),
        "huge": (huge_rows, None),
    }
    parser = options("audit", __doc__, quick="a part of each set")
    usual = [name for name in parts if name != "huge"]
    parser.add_argument(
        "--only", nargs="+", choices=parts, default=usual, metavar="PART", help=f"of {', '.join(parts)}"
    )
    settings = parser.parse_args(arguments)
    rows = []
    for measure, needed in (parts[name] for name in settings.only):
        if needed is not None and not needed.is_dir():
            print(f"{measure.__name__.removesuffix('_rows')}: left out, there is no {needed}")
            continue
        rows += measure(quick=settings.quick)
        print(*(f"{one['check']}: {one['value']:.3f}" for one in rows[-6:]), sep="\n", flush=True)
    print("QUICK: a part of the data only, no result" if settings.quick else "", flush=True)
    return finish(rows, quick=settings.quick, file=settings.json)


if __name__ == "__main__":
    sys.exit(main())
