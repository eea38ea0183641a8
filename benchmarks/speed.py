"""How fast are training and predicting? `python -m benchmarks.speed [--quick] [--json FILE]`.

The opponent is the loop of the tutorials: the same network and pictures, float32, colour channels first, a `DataLoader`
with default settings, and training and validation images through the trunk in every epoch. Beside it, where it is
installed, fastai's `vision_learner` with a frozen body. All are timed in turns, so that a busy moment of the machine
meets all; a row is the median over the turns, with its smallest and largest value.

What is smaller than life, so that the run takes minutes: training is timed on few images (the first row says how many);
a re-training is timed on 1,200 rows of features, repeated from those, against the opponent's measured seconds per
image times 1,200 training and 240 validation images; memory is measured with small pictures.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torchvision.transforms import v2

from benchmarks.opponents import fastai_training, has_fastai, plain_model, plain_prediction, plain_training
from benchmarks.outcome import finish, options, row
from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.features import FeatureBank, FeatureDataset, compute_features, feature_loaders
from fracturelib.images import iterate_images
from fracturelib.images.reading import read_picture
from fracturelib.loaders import Loaders, RadiographDataset, make_loader, make_loaders
from fracturelib.model import build_model
from fracturelib.pipeline import train_run
from fracturelib.prediction import predict_files
from fracturelib.prediction.engines import give_engine
from fracturelib.runs import Run
from fracturelib.runtime import available_cores, choose_device, choose_precision
from fracturelib.simulation import ensure_simulated
from fracturelib.training import fit
from fracturelib.transforms import eval_transform, split_transform

CONFIG = TrainConfig(weights="distilled", epochs=10, patience=10, device="cpu")
RETRAINED, VALIDATED = 1200, 240  # images of the re-training row
FLAGS = ("avx2", "avx512_f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "neon", "bf16")
EMPTY = pd.DataFrame()
MEMORY_SIDE = 32  # pixels; what is kept per image does not depend on it


def timed(work: Callable, *arguments: Any, **named: Any) -> tuple[float, Any]:
    """Seconds that a call took, and what it gave."""
    started = time.perf_counter()
    result = work(*arguments, **named)
    return time.perf_counter() - started, result


def ratios(name: str, values: list[float], bar: float, *, at_most: bool = False) -> dict:
    """A row: median of the pairs, smallest and largest."""
    middle = statistics.median(values)
    holds = middle <= bar if at_most else middle >= bar
    sign = "≤" if at_most else "≥"
    return row(name, middle, (min(values), max(values)), f"{sign} {bar:g}", holds)


def training_rows(loaders: Loaders, pairs: int, place: Path) -> list[dict]:
    """First trainings and re-trainings against the plain loop."""
    images = len(loaders.train.dataset), len(loaders.val.dataset)
    all_views, default, again, re_seconds, gaps, fastai = [], [], [], [], [], []
    for pair in range(pairs):
        banks = [FeatureBank(place / f"bank-{pair}-{views}") for views in (CONFIG.epochs, CONFIG.views)]
        opponent, plain = timed(plain_training, loaders, CONFIG)
        took, history = timed(first_training, loaders, replace(CONFIG, views=CONFIG.epochs), banks[0])
        all_views.append(opponent / took)
        gaps.append(abs(history["val_auc"].iloc[-1] - plain["val_auc"]))
        took, _ = timed(first_training, loaders, CONFIG, banks[1])
        default.append(opponent / took)
        large = repeated_features(loaders, banks[1])
        re_seconds.append(timed(fit, build_model(CONFIG), large.train, large.val, CONFIG)[0])
        per_image = opponent / CONFIG.epochs / sum(images)
        again.append(per_image * CONFIG.epochs * (RETRAINED + VALIDATED) / re_seconds[-1])
        if has_fastai():
            fastai.append(timed(fastai_training, loaders, CONFIG)[0] / took)
        print(f"turn {pair + 1}: plain loop {opponent:.1f} s", flush=True)
    what = f"{images[0]}+{images[1]} images, 10 epochs"
    rows = [
        ratios(f"first training, views = epochs, {what}: × faster", all_views, 2.2),
        ratios("  its validation AUC beside the plain loop's: difference", gaps, 0.01, at_most=True),
        ratios(f"first training, {CONFIG.views} views, {what}: × faster", default, 13),
        ratios("re-training a head: × faster", again, 100),
        ratios(f"re-training a head, {RETRAINED} images × 10 epochs: seconds", re_seconds, 1, at_most=True),
    ]
    if fastai:
        rows.append({**ratios(f"first training, {CONFIG.views} views, against fastai: × faster", fastai, 0), "bar": ""})
    return rows


def first_training(loaders: Loaders, config: TrainConfig, bank: FeatureBank) -> pd.DataFrame:
    """Model, features and head from nothing; test images are left alone, as in the plain loop."""
    model = build_model(config)
    pair = feature_loaders(model, Loaders(loaders.train, loaders.val, loaders.val), config, bank=bank)
    return fit(model, pair.train, pair.val, config)


def precision_rows(loaders: Loaders) -> list[dict]:
    """The same head on features of both precisions; bfloat16 is emulated where the processor has none."""
    model = build_model(CONFIG)
    first = feature_loaders(model, loaders, CONFIG)
    fit(model, first.train, first.val, CONFIG)
    labels, aucs = loaders.test.dataset.table["label"], []
    for precision in ("float32", "bfloat16"):
        model.precision = precision
        features = compute_features(model, loaders.test.dataset, CONFIG)[0]
        aucs.append(roc_auc_score(labels, model.predict_proba(features).numpy()))
    name = f"bfloat16 instead of float32, {len(labels)} test images: AUC difference"
    return [ratios(name, [abs(aucs[0] - aucs[1])], 0.005, at_most=True)]


def repeated_features(loaders: Loaders, bank: FeatureBank) -> Loaders:
    """Features of the size of the promise: those that are in the bank, over and over. Time does not depend on them."""
    model, made = build_model(CONFIG), []
    for loader, count, views in ((loaders.train, RETRAINED, CONFIG.views), (loaders.val, VALIDATED, 1)):
        features = compute_features(model, loader.dataset, CONFIG, views=views, bank=bank)
        rows = np.arange(count) % len(loader.dataset)
        dataset = FeatureDataset(loader.dataset.table.iloc[rows].reset_index(drop=True), features[:, rows])
        made.append(make_loader(dataset, CONFIG, shuffle=loader is loaders.train))
    return Loaders(*made, made[-1])


def prediction_rows(files: list[Path], pairs: int) -> list[dict]:
    """`predict` against the bare trunk and against the plain loop."""
    model, opponent = build_model(CONFIG), plain_model(CONFIG)
    run = Run(Path(), CONFIG, {"threshold": 0.5}, model, pd.DataFrame(), {})
    batch = torch.randn(32, 3, CONFIG.image_size, CONFIG.image_size).contiguous(memory_format=torch.channels_last)
    model.predict_proba(batch)  # the first call makes the fast copy
    share, faster, speed = [], [], []
    batches = len(files) // len(batch)
    for _ in range(pairs):
        bare = timed(lambda: [model.predict_proba(batch) for _ in range(batches)])[0] / (batches * len(batch))
        own = timed(predict_files, run, files)[0] / len(files)
        plain = timed(plain_prediction, opponent, files, CONFIG)[0] / len(files)
        share.append(bare / own)
        faster.append(plain / own)
        speed.append(1 / bare)
    return [
        {**ratios("bare trunk, batch in memory: images per second", speed, 0), "bar": ""},
        ratios(f"predict on {len(files)} pictures: share of the bare trunk's speed", share, 0.95),
        ratios("predict against the plain loop: × faster", faster, 2),
    ]


def engine_rows(loaders: Loaders, files: list[Path], pairs: int) -> list[dict]:
    """The trunk as torch and as onnxruntime compute it, in turns; then `predict` in int8 against the plain loop."""
    if importlib.util.find_spec("onnxruntime") is None or importlib.util.find_spec("onnx") is None:
        print('onnxruntime is not installed: its rows are left out (pip install -e ".[onnx]")')
        return []
    kinds = {
        "torch float32": {"precision": "float32"},
        "torch bfloat16": {"precision": "bfloat16"},
        "onnxruntime float32": {"engine": "onnxruntime"},
        "onnxruntime int8": {"precision": "int8"},
    }
    configs = {kind: replace(CONFIG, **settings) for kind, settings in kinds.items()}
    models = {kind: build_model(config) for kind, config in configs.items()}
    for kind, config in configs.items():
        if config.computed_by_onnxruntime:
            give_engine(models[kind], loaders.train.dataset.table, config)
    batch = next(iter(loaders.val))[0].repeat(32, 1, 1, 1)[:32].contiguous(memory_format=torch.channels_last)
    opponent, run = plain_model(CONFIG), Run(Path(), CONFIG, {"threshold": 0.5}, models["onnxruntime int8"], EMPTY, {})
    speeds: dict[str, list[float]] = {kind: [] for kind in kinds}
    own, plain = [], []
    for model in models.values():
        model.predict_proba(batch)  # the first call makes the fast copy
    for _ in range(pairs):
        for kind, model in models.items():
            speeds[kind].append(len(batch) / timed(model.predict_proba, batch)[0])
        own.append(len(files) / timed(predict_files, run, files)[0])
        plain.append(len(files) / timed(plain_prediction, opponent, files, CONFIG)[0])
    turns = list(zip(*speeds.values(), strict=True))
    int8 = speeds["onnxruntime int8"]
    rows = [ratios(f"bare trunk, {kind}: images per second", found, 0) for kind, found in speeds.items()]
    best = [turn[3] / max(turn[:2]) for turn in turns]
    return [
        *({**one, "bar": ""} for one in rows),
        ratios("bare trunk, int8 against the best of torch: × faster", best, 1.3),
        ratios("predict in int8: share of the bare trunk's speed", divided(own, int8), 0.95),
        ratios("predict in int8 against the plain loop: × faster", divided(own, plain), 3.5),
        *({**one, "bar": ""} for one in stage_rows(run, files, pairs)),
    ]


def stage_rows(run: Run, files: list[Path], pairs: int) -> list[dict]:
    """Where the processors' time of `predict` goes, and the share of the bare trunk's speed that this leaves at best.

    At best means that every core is busy all the time: reading and the trunk share the cores, none waits.
    """
    side, (steps, finish) = run.config.picture_side, split_transform(eval_transform(run.config))
    shrink, found = (
        v2.Compose(steps),
        {name: [] for name in ("decoding", "resizing", "normalising", "trunk and head", "all of predict")},
    )
    for _ in range(pairs):
        took, pictures = processor_ms(lambda: [read_picture(file, target_side=side) for file in files])
        found["decoding"].append(took / len(files))
        took, greys = processor_ms(lambda pictures=pictures: [shrink(picture.grey) for picture in pictures])
        found["resizing"].append(took / len(files))
        took, images = processor_ms(lambda greys=greys: [finish(part) for part in torch.stack(greys).split(32)])
        found["normalising"].append(took / len(files))
        took, _ = processor_ms(lambda images=images: [run.model.predict_proba(part) for part in images])
        found["trunk and head"].append(took / len(files))
        found["all of predict"].append(processor_ms(lambda: predict_files(run, files))[0] / len(files))
    stages = np.array([found[name] for name in ("trunk and head", "decoding", "resizing", "normalising")])
    best = (stages[0] / stages.sum(axis=0)).tolist()
    rows = [ratios(f"predict in int8, ms of a processor per picture: {what}", took, 0) for what, took in found.items()]
    return [*rows, ratios("predict in int8: share of the bare trunk's speed that reading leaves at best", best, 0)]


def processor_ms(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of all cores that a call took, and what it gave."""
    started = time.process_time()
    result = work()
    return (time.process_time() - started) * 1000, result


def gpu_rows(loaders: Loaders, files: list[Path], pairs: int) -> list[dict]:
    """Features, `predict` and an epoch of fine-tuning on the GPU, in both precisions; nothing without one."""
    if not torch.cuda.is_available():
        print("no CUDA device here: its rows are left out")
        return []
    card, rows = torch.cuda.get_device_name(), []
    images = len(loaders.train.dataset)
    for precision in ("float32", "bfloat16"):
        config = replace(CONFIG, precision=precision, device="cuda")
        run = Run(Path(), config, {"threshold": 0.5}, build_model(config), EMPTY, {})
        tuned = replace(config, unfreeze="layer4", epochs=1, views=1)
        predict_files(run, files[:32])  # cuDNN chooses its algorithms
        found: dict[str, list[float]] = {"features": [], "predict": [], "fine-tuning of layer4": []}
        for _ in range(pairs):
            found["features"].append(images / timed(compute_features, run.model, loaders.train.dataset, config)[0])
            found["predict"].append(len(files) / timed(predict_files, run, files)[0])
            found["fine-tuning of layer4"].append(images / timed(tuning, loaders, tuned)[0])
        rows += [ratios(f"{card}, {precision}, {what}: images per second", one, 0) for what, one in found.items()]
    return [{**one, "bar": ""} for one in rows]


def tuning(loaders: Loaders, config: TrainConfig) -> pd.DataFrame:
    """An epoch through the whole trunk, with the model that it begins from."""
    return fit(build_model(config), loaders.train, loaders.val, config)


def divided(one: list[float], other: list[float]) -> list[float]:
    """Quotients, turn by turn."""
    return [mine / theirs for mine, theirs in zip(one, other, strict=True)]


def memory_rows(source: Path, counts: tuple[int, int], place: Path) -> list[dict]:
    """Peak memory and time of computing features into a bank, each in a process of its own."""
    results = []
    for count in counts:
        asked = ("--worker", str(count), str(source), str(place / str(count)))
        command = (sys.executable, "-m", "benchmarks.speed", *asked)
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    (small, large), times = [one["peak"] for one in results], [one["seconds"] for one in results]
    exponent = math.log(times[1] / times[0]) / math.log(counts[1] / counts[0])
    between = f"{counts[0]:,} → {counts[1]:,} images of {MEMORY_SIDE} px"
    return [
        ratios(f"peak memory of features, {between}: growth", [large / small - 1], 0.10, at_most=True),
        ratios(f"time of features, {between}: exponent", [exponent], 1.05, at_most=True),
    ]


def worker(count: int, source: Path, place: Path) -> None:
    """Features of `count` files, which are links to a few; prints peak memory (bytes) and seconds."""
    import resource

    originals = list(itertools.islice(iterate_images(source), 200))
    (place / "images").mkdir(parents=True)
    paths = [f"images/{number:06d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        os.link(originals[number % len(originals)], place / path)
    table = pd.DataFrame({"path": paths, "label": np.arange(count) % 2, "source_id": paths})
    config = replace(CONFIG, weights="none", image_size=MEMORY_SIDE)
    model = build_model(config)
    warm = RadiographDataset(table.head(64), eval_transform(config), root=place, side=MEMORY_SIDE)
    compute_features(model, warm, config)
    dataset = RadiographDataset(table, eval_transform(config), root=place, side=MEMORY_SIDE)
    took, _ = timed(compute_features, model, dataset, config, bank=FeatureBank(place / "bank"))
    unit = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, "seconds": took}))


def start_rows(repeats: int) -> list[dict]:
    """Importing the package, and the command line's help."""
    code = "import time; t = time.perf_counter(); import fracturelib; print(time.perf_counter() - t)"
    imports = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(repeats)
    ]
    command = [sys.executable, "-m", "fracturelib.cli", "--help"]
    helps = [timed(subprocess.run, command, stdout=subprocess.DEVNULL, check=True)[0] for _ in range(repeats)]
    return [
        ratios("import fracturelib: seconds", imports, 0.1, at_most=True),
        ratios("fracturelib --help: seconds", helps, 0.5, at_most=True),
    ]


def cold_rows(loaders: Loaders, picture: Path, repeats: int, place: Path) -> list[dict]:
    """`predict` of one file in a new process, by a run of torch and by one of onnxruntime, in turns."""
    table = pd.concat([loader.dataset.table for loader in loaders])
    for path in table["path"]:
        (place / "small" / path).parent.mkdir(parents=True, exist_ok=True)
        os.link(loaders.train.dataset.root / path, place / "small" / path)
    commands = {"import torch, torchvision": ["-c", "import torch, torchvision"]}
    for kind, precision in (("torch float32", "float32"), ("onnxruntime int8", "int8")):
        config = replace(CONFIG, data=str(place / "small"), epochs=1, views=1, precision=precision)
        run = train_run(config, folder=place / kind.replace(" ", "-")).folder
        commands[f"predict FILE, {kind}"] = ["-m", "fracturelib.cli", "predict", str(run), str(picture)]
    wall: dict[str, list[float]] = {what: [] for what in commands}
    busy: dict[str, list[float]] = {what: [] for what in commands}
    for _ in range(repeats):
        for what, command in commands.items():
            before = children_seconds()
            wall[what].append(timed(subprocess.run, [sys.executable, *command], capture_output=True, check=True)[0])
            busy[what].append(children_seconds() - before)
    rows = [ratios(f"cold start, {what}: seconds", took, 0) for what, took in wall.items()]
    rows += [ratios(f"cold start, {what}: seconds of a processor", took, 0) for what, took in busy.items()]
    return [{**one, "bar": ""} for one in rows]


def children_seconds() -> float:
    """Seconds that all cores together spent on processes which this one started and which have ended."""
    spent = os.times()
    return spent.children_user + spent.children_system


def few(root: Path, counts: dict[str, int]) -> Loaders:
    """Loaders over a balanced part of each split."""
    table = read_catalog(root)
    kept = [
        table[(table["split"] == split) & (table["label"] == label)].head(count // 2)
        for split, count in counts.items()
        for label in (0, 1)
    ]
    part = pd.concat(kept).reset_index(drop=True)
    part.attrs = table.attrs
    return make_loaders(part, CONFIG)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if a bar is missed."""
    parser = options("speed", __doc__, quick="fewer images, and one pair of each")
    parser.add_argument("--engines", action="store_true", help="only the rows of the trunk's engines")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    settings = parser.parse_args(arguments)
    if settings.worker:
        worker(int(settings.worker[0]), Path(settings.worker[1]), Path(settings.worker[2]))
        return 0
    quick = settings.quick
    root = ensure_simulated("data/simulated")
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    known = [name for name in FLAGS if capabilities.get(name)]
    print(f"processor: {capabilities.get('cpu_name', 'unknown')}, {available_cores()} cores, {' '.join(known)}")
    print(f"precision: {choose_precision('auto', choose_device('cpu'))}; torch threads: {torch.get_num_threads()}")
    if not has_fastai():
        print('fastai is not installed: its rows are left out (pip install -e ".[bench]")')
    with tempfile.TemporaryDirectory(dir="data") as folder:  # on the images' disk, so that links can be made
        place = Path(folder)
        files = list(iterate_images(root / "test"))[: 32 if quick else 96]
        counts = {"train": 16, "val": 8, "test": 8} if quick else {"train": 60, "val": 12, "test": 96}
        loaders = few(root, counts)
        rows = engine_rows(loaders, files, 1 if quick else 7)
        if not settings.engines:
            rows += training_rows(loaders, 1 if quick else 5, place)
            rows += precision_rows(loaders)
            rows += prediction_rows(files, 1 if quick else 7)
            rows += gpu_rows(loaders, files, 1 if quick else 5)
            rows += cold_rows(loaders, files[0], 3 if quick else 7, place)
            rows += memory_rows(root, (200, 1000) if quick else (1000, 100_000), place)
    if not settings.engines:
        rows += start_rows(3 if quick else 7)
    print("QUICK: few images, no result" if quick else "", flush=True)
    return finish(rows, quick=quick, file=settings.json, form=".3f")


if __name__ == "__main__":
    sys.exit(main())
