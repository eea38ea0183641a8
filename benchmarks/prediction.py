"""What the number that `predict` gives is worth: calibration, a guarantee, novelty, patients, drift, ONNX, cold start.

Two finished runs are read, one of the embedded set and one of the FracAtlas slice; `fracturelib train` makes them. The
photographs are those that scikit-image and scikit-learn bundle.
"""

from __future__ import annotations

import copy
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageDraw
from scipy import stats
from sklearn.metrics import roc_auc_score

from benchmarks.outcome import finish, options, row
from fracturelib.catalog import read_catalog, root_of
from fracturelib.errors import EvaluationError, FracturelibWarning
from fracturelib.evaluation import Combination, apply_temperature, choose_limit, combined, mean_interval, units_of
from fracturelib.evaluation.intervals import resample_weights
from fracturelib.evaluation.similarity import SPREADS_OF_LIMIT, scaled
from fracturelib.images import read_radiograph
from fracturelib.prediction import predict_files
from fracturelib.prediction.exporting import export_onnx
from fracturelib.prediction.nearest import features_of
from fracturelib.prediction.watching import watch
from fracturelib.runs import Run, load_run, saved_table
from fracturelib.simulation import simulate
from fracturelib.transforms import eval_transform, split_transform
from fracturelib.writing.verdicts import Verdict

BINS, RESAMPLES, DRAWN = 10, 1000, 300
EXTRA = 1.0  # seconds that a cold start may take beyond 1.5 × the import of torch and torchvision


def adaptive_error(labels: np.ndarray, chances: np.ndarray, weights: np.ndarray) -> float:
    """Expected calibration error with bins of equal weight (Nguyen and O'Connor, EMNLP 2015)."""
    order = np.argsort(chances, kind="stable")
    labels, chances, weights = labels[order], chances[order], weights[order]
    place = np.minimum((np.cumsum(weights) - weights / 2) / weights.sum() * BINS, BINS - 1e-9).astype(int)
    gaps = np.bincount(place, weights * (chances - labels), BINS)
    return float(np.abs(gaps).sum() / weights.sum())


def calibration_rows(name: str, run: Run) -> list[dict]:
    """Before and after on the test set; the interval is over patients or sources, that of the change is paired."""
    table = saved_table(run.folder, run.record)
    fitted = run.record["calibration"]["fitted"]
    labels, before = table["label"].to_numpy(float), table["raw"].to_numpy()
    after = apply_temperature(before, fitted)
    codes = units_of(table).codes
    blocks = resample_weights(labels.astype(int), codes, resamples=RESAMPLES, seed=0)
    draws = [[adaptive_error(labels, which, one) for which in (before, after)] for block in blocks for one in block]
    values = [adaptive_error(labels, which, np.ones(len(labels))) for which in (before, after)]
    ends = np.quantile(draws, (0.025, 0.975), axis=0)
    change = np.quantile(np.diff(draws, axis=1), (0.025, 0.975))
    refused = run.temperature is None
    said = f"refused ({run.record['calibration']['reason']})" if refused else "used"
    print(f"{name}: temperature {fitted:.3f} {said}")
    good = refused or values[1] <= values[0]
    return [
        row(f"{name}: calibration error before the temperature", values[0], ends[:, 0]),
        row(f"{name}: … with it, temperature {fitted:.2f} {said.split()[0]}", values[1], ends[:, 1]),
        row(f"{name}: … change", values[1] - values[0], change, "≤ 0 or refused", good),
    ]


def clustered(count: int, seed: int) -> pd.DataFrame:
    """Predictions for pictures of so many patients, half of them with a fracture; a patient's resemble each other."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(1, 5, count)
    patient = np.repeat(np.arange(count), pictures)
    ill, skill = patient % 2, rng.normal(size=count)[patient]
    label = ill * (rng.random(len(patient)) < 0.8)
    score = 1.5 * (2 * label - 1) + skill + 0.5 * rng.normal(size=len(patient))
    table = pd.DataFrame({"label": label.astype(int), "probability": 1 / (1 + np.exp(-score)), "split": "val"})
    return table.assign(source_id=[f"s{n}" for n in range(len(table))], patient_id=patient.astype(str))


def guarantee_rows(*, quick: bool) -> list[dict]:
    """How often the promise is kept, what it costs, and the refusal."""
    times, truth = 50 if quick else 200, clustered(40_000, 10**6)
    fractured = truth[truth["label"] == 1]
    kept, kept_patients, answered = [], [], []
    for seed in range(times):
        limit = choose_limit(clustered(260, seed), guarantee="sensitivity=0.95")
        below = fractured["probability"] < limit
        kept.append(below.mean() <= 0.05)
        kept_patients.append(below.groupby(fractured["patient_id"]).any().mean() <= 0.05)
        answered.append((truth["probability"] < min(limit, 0.5)).mean() + (truth["probability"] >= 0.5).mean())
    least = int(stats.binom.ppf(0.025, times, 0.95))
    try:
        choose_limit(clustered(80, 0), guarantee="sensitivity=0.95")
        refused = False
    except EvaluationError as error:
        refused = "59" in error.what
        print(f"refusal: {error.what}")
    ends = stats.binomtest(sum(kept), times).proportion_ci()
    return [
        row(
            f"guarantee kept of {times}, by picture",
            sum(kept),
            np.array(ends) * times,
            f"≥ {least}",
            sum(kept) >= least,
        ),
        row(
            f"guarantee kept of {times}, by patient",
            sum(kept_patients),
            bar=f"≥ {least}",
            holds=sum(kept_patients) >= least,
        ),
        row(
            "share of pictures answered (threshold 0.5)",
            float(np.mean(answered)),
            np.quantile(answered, (0.025, 0.975)),
        ),
        row("40 validation fractures: refused with the number 59", refused, bar="1", holds=refused),
    ]


def photographs() -> dict[str, np.ndarray]:
    """The bundled photographs by name, uint8 (H, W) or (H, W, 3)."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    names = ("astronaut", "coffee", "chelsea", "rocket", "camera", "coins", "page", "text", "moon", "brick", "grass")
    names += ("gravel", "hubble_deep_field", "immunohistochemistry", "retina", "clock", "cell", "colorwheel", "horse")
    found = {name: np.asarray(getattr(data, name)()) for name in names}
    found = {name: np.where(one, 255, 0).astype(np.uint8) if one.dtype == bool else one for name, one in found.items()}
    return found | dict(zip(("china", "flower"), load_sample_images()["images"], strict=True))


def other_pictures(folder: Path) -> pd.DataFrame:
    """300 files that are no radiographs, 4 in 5 of them crops of photographs with changed colours: path, source."""
    rng, pictures = np.random.default_rng(0), photographs()
    made = []
    for number in range(DRAWN):
        if number % 5:
            source = list(pictures)[int(rng.integers(len(pictures)))]
            picture = _changed(pictures[source], rng)
        else:
            source = ("noise", "blank", "text on a page", "screenshot")[number // 5 % 4]
            picture = _drawn(source, rng)
        file = folder / f"{number}.png"
        Image.fromarray(picture).save(file)
        made.append((str(file), source))
    return pd.DataFrame(made, columns=["path", "source"])


def _changed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop, half of them grey, with another brightness, contrast and gamma, or as a negative."""
    height, width = picture.shape[:2]
    tall, wide = (max(64, int(side * rng.uniform(0.4, 1))) for side in (height, width))
    y, x = rng.integers(max(1, height - tall + 1)), rng.integers(max(1, width - wide + 1))
    crop = picture[y : y + tall, x : x + wide][..., :3] if picture.ndim == 3 else picture[y : y + tall, x : x + wide]
    if crop.ndim == 3 and rng.random() < 0.5:
        crop = np.asarray(Image.fromarray(crop).convert("L"))
    values = 255 * (crop / 255) ** rng.uniform(0.5, 2)
    values = (values - values.mean()) * rng.uniform(0.5, 1.5) + values.mean()
    return np.clip(255 - values if rng.random() < 0.25 else values, 0, 255).astype(np.uint8)


def _drawn(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Noise, one grey value, lines of text, or windows with text on a screen."""
    if kind == "noise":
        return rng.integers(0, 256, (300, 300)).astype(np.uint8)
    if kind == "blank":
        return np.full((300, 240), rng.integers(256), np.uint8)
    page = Image.new("RGB", (640, 480), (255, 255, 255) if kind != "screenshot" else (40, 60, 90))
    pen = ImageDraw.Draw(page)
    for _ in range(3 if kind == "screenshot" else 0):
        x, y = rng.integers(0, 300), rng.integers(0, 200)
        pen.rectangle((x, y, x + 320, y + 240), fill=tuple(rng.integers(180, 256, 3).tolist()), outline=(0, 0, 0))
    for line in range(26):
        words = " ".join("".join(chr(97 + int(n)) for n in rng.integers(0, 26, rng.integers(2, 9))) for _ in range(9))
        pen.text((20, 12 + 18 * line), words, fill=(0, 0, 0))
    return np.asarray(page.convert("L"))


def novelty_rows(name: str, run: Run, table: pd.DataFrame, folder: Path) -> list[dict]:
    """Flagged among what is no radiograph, and among the run's own test pictures; both distances beside each other."""
    other = other_pictures(folder)
    test = [root_of(table) / path for path in table.loc[table["split"] == "test", "path"]]
    strange, own = (predict_files(run, files) for files in (other["path"].tolist(), test))
    flagged = (strange["prediction"] == "").to_numpy()
    spared = (own["prediction"] == "").to_numpy()
    found = mean_interval(flagged, pd.factorize(other["source"])[0], proportion=True)
    lost = mean_interval(spared, np.arange(len(spared)), proportion=True)
    by_reason = strange["reason"].value_counts().to_dict()
    missed = sorted(set(other["source"][~flagged]))
    print(f"{name}: reasons {by_reason}; not flagged, of: {missed}")
    result = [
        row(
            f"{name}: flagged of {DRAWN} non-radiographs",
            flagged.mean(),
            (found["low"], found["high"]),
            "≥ 0.95",
            flagged.mean() >= 0.95,
        ),
        row(
            f"{name}: flagged of {len(own)} own test pictures",
            spared.mean(),
            (lost["low"], lost["high"]),
            "≤ 0.02",
            spared.mean() <= 0.02,
        ),
    ]
    pictures = {
        "strange": features_of(run.model, run.config, other["path"].tolist()),
        "own": features_of(run.model, run.config, test),
    }
    negatives = _negatives(run, test)
    result.append(row(f"{name}: negatives of own test pictures flagged", negatives, bar=""))
    return result + [
        row(f"{name}: by features alone, {which}", value) for which, value in _by_features(run, table, pictures)
    ]


def _negatives(run: Run, test: list[Path]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        for number, file in enumerate(test[:100]):
            Image.fromarray(255 - read_radiograph(file)).save(f"{folder}/{number}.png")
        return float((predict_files(run, [folder])["prediction"] == "").mean())


def _by_features(run: Run, table: pd.DataFrame, pictures: dict[str, np.ndarray]) -> Iterator[tuple[str, float]]:
    """Shares beyond the limit, made by one rule from validation, for the two distances that were candidates."""
    reference = run.reference
    assert reference is not None
    known = scaled(reference.features)
    validation = features_of(
        run.model, run.config, [root_of(table) / p for p in table.loc[table["split"] == "val", "path"]]
    )

    def fifth_neighbour(features: np.ndarray) -> np.ndarray:
        return np.sort(1 - scaled(features) @ known.T, axis=1)[:, 4]

    for which, distance in (("Mahalanobis", reference.distances), ("5th neighbour", fifth_neighbour)):
        logs = np.log(np.maximum(distance(validation), 1e-12))
        limit = logs.mean() + SPREADS_OF_LIMIT * logs.std(ddof=1)
        for kind, features in pictures.items():
            yield f"{which}, {kind}", float((np.log(np.maximum(distance(features), 1e-12)) > limit).mean())


def patient_rows(run: Run) -> list[dict]:
    """AUC per picture and per patient on the run's test set, with a paired interval of the difference."""
    table = saved_table(run.folder, run.record)
    rule, rng = Combination(run.record["combination"]), np.random.default_rng(0)

    def values(part: pd.DataFrame) -> tuple[float, float]:
        people = combined(part, by="patient_id", rule=rule)
        return (
            roc_auc_score(part["label"], part["probability"]),
            roc_auc_score(people["label"], people["probability"]),
        )

    groups = [part for _, part in table.groupby("patient_id")]
    draws = []
    for _ in range(300):
        picked = [
            groups[place].assign(patient_id=str(n))
            for n, place in enumerate(rng.integers(len(groups), size=len(groups)))
        ]
        draws.append(values(pd.concat(picked)))
    ends, pair = np.quantile(draws, (0.025, 0.975), axis=0), values(table)
    change = np.quantile(np.diff(draws, axis=1), (0.025, 0.975))
    return [
        row("embedded: AUC per picture", pair[0], ends[:, 0]),
        row(f"embedded: AUC per patient ({rule})", pair[1], ends[:, 1]),
        row("embedded: per patient - per picture", pair[1] - pair[0], change),
    ]


def watch_rows(run: Run, table: pd.DataFrame, other: Path, folder: Path) -> list[dict]:
    """The same kind, another device, another data set, and more hands than the run's validation set has."""
    same = Path(root_of(table)) / "test"
    device = folder / "device"
    simulate(device, seed=1, counts={"test": 160}, device_shift=1.0)
    found = {"same device": (run, same), "other device": (run, device), "another set": (run, other / "test")}
    fewer = copy.copy(run)
    known, rng = run.validation, np.random.default_rng(0)
    assert known is not None
    hands = known.index[known["region"] == "hand"]
    keep = round((len(known) - len(hands)) / 9)  # then one in ten
    fewer.__dict__["validation"] = known.drop(rng.permutation(hands)[keep:]).reset_index(drop=True)
    test = table[table["split"] == "test"]
    of_hands, rest = (test[(test["region"] == "hand") == which] for which in (True, False))
    mixed = pd.concat([of_hands, rest.sample(round(len(of_hands) * 7 / 3), random_state=0)])
    (folder / "mixed").mkdir()
    for path in mixed["path"]:
        (folder / "mixed" / Path(path).name).symlink_to((root_of(table) / path).resolve())
    found["30 % hands, not 10 %"] = (fewer, folder / "mixed")
    result = []
    for name, (one, place) in found.items():
        changes = watch(one, place).query("verdict in @told", local_dict={"told": [Verdict.HIGHER, Verdict.LOWER]})
        said = {f"{line.subject} {line.detail}".strip(): line.verdict for line in changes.itertuples()}
        print(f"watch, {name}: {said or 'quiet'}")
        good = {
            "same device": not said,
            "30 % hands, not 10 %": said.get("share that looks like region: hand") == Verdict.HIGHER,
        }.get(name, bool(said))
        result.append(
            row(f"watch, {name}: changes told", len(said), bar="0" if name == "same device" else "≥ 1", holds=good)
        )
    return result


def onnx_rows(name: str, run: Run, table: pd.DataFrame, file: Path) -> list[dict]:
    """The file's numbers against Python's on all test pictures, in another process that cannot import this package."""
    export_onnx(run, file)
    steps, _ = split_transform(eval_transform(run.config))
    paths = [root_of(table) / path for path in table.loc[table["split"] == "test", "path"]]
    grey = []
    for path in paths:
        picture = read_radiograph(path, target_side=run.config.image_size)
        for step in steps:
            picture = step(picture)
        grey.append(picture.numpy())
    np.save(file.with_suffix(".npy"), np.stack(grey))
    code = (
        "import sys; sys.modules['fracturelib'] = sys.modules['torch'] = None; import numpy as np, onnxruntime as o; "
        f"s = o.InferenceSession({str(file)!r}); x = np.array_split(np.load({str(file.with_suffix('.npy'))!r}), 20); "
        f"np.save({str(file) + '.out.npy'!r}, np.concatenate([s.run(None, {{'pictures': p}})[0] for p in x]))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    found = np.load(f"{file}.out.npy")
    usual = run.model.precision
    run.model.precision = "float32"  # the file computes in it, whatever this machine would take
    expected = predict_files(run, paths)["raw"].to_numpy()
    run.model.precision = usual
    expected = expected if run.temperature is None else apply_temperature(expected, run.temperature)
    worst, size = float(np.abs(found - expected).max()), file.stat().st_size / 1e6
    return [
        row(f"{name}: ONNX - Python, largest of {len(paths)}", worst, bar="≤ 0.001", holds=worst <= 1e-3),
        row(f"{name}: ONNX file, MB", size, bar="≤ 46", holds=size <= 46),
    ]


def cold_rows(run: Run, picture: Path) -> list[dict]:
    """One picture from the command line in a new process, against the import of torch and torchvision alone."""
    imported, predicted = (
        min(_seconds(command) for _ in range(3))
        for command in (
            ["-c", "import torch, torchvision"],
            ["-m", "fracturelib.cli", "predict", str(run.folder), str(picture)],
        )
    )
    bar = 1.5 * imported + EXTRA
    return [
        row("import torch, torchvision: s", imported),
        row("predict one picture, cold: s", predicted, bar=f"≤ {bar:.2f}", holds=predicted <= bar),
    ]


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> int:
    """All rows."""
    parser = options("prediction", __doc__.splitlines()[0], quick="fewer repetitions of the guarantee")
    parser.add_argument("--embedded", type=Path, default=Path("runs/demo"), metavar="RUN")
    parser.add_argument("--fracatlas", type=Path, default=Path("runs/fracatlas"), metavar="RUN")
    asked = parser.parse_args()
    torch.set_num_threads(2)
    warnings.simplefilter("ignore", FracturelibWarning)
    rows = guarantee_rows(quick=asked.quick)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        runs = {"embedded": load_run(asked.embedded), "FracAtlas": load_run(asked.fracatlas)}
        tables = {which: read_catalog(run.config.data) for which, run in runs.items()}
        for which, run in runs.items():
            rows += calibration_rows(which, run)
            (place / which).mkdir()
            rows += novelty_rows(which, run, tables[which], place / which)
            rows += onnx_rows(which, run, tables[which], place / f"{which}.onnx")
        rows += patient_rows(runs["embedded"])
        rows += watch_rows(runs["embedded"], tables["embedded"], Path(runs["FracAtlas"].config.data), place)
        rows += cold_rows(runs["FracAtlas"], root_of(tables["FracAtlas"]) / tables["FracAtlas"]["path"].iloc[-1])
    return finish(rows, quick=asked.quick, file=asked.json)


if __name__ == "__main__":
    sys.exit(main())
