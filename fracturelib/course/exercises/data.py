"""The exercises of notebook 01."""

from typing import Any

import numpy as np
import pandas as pd

from fracturelib.course.exercises.exercise import Exercise, because, near


def _share_by_region(value: Any, *, table: pd.DataFrame) -> str | None:
    by_region = table.groupby("region")["label"]
    right = by_region.mean()
    value = pd.Series(value) if isinstance(value, dict) else value
    if np.ndim(value) == 0:
        return "this is one number; it says nothing about a region. Group the table by region first"
    value = pd.Series(value)
    return because(
        (not value.index.isin(right.index).all(), "its rows are not the body regions: group by the column region"),
        (set(value.index) != set(right.index), "a region is missing"),
        (np.allclose(value[right.index], by_region.sum()), "these are numbers of fractured files, not shares"),
        (np.allclose(value[right.index], by_region.count()), "these are numbers of files, fractured or not"),
        (np.allclose(value[right.index], right * 100), "write shares between 0 and 1, not per cent"),
        (np.allclose(value[right.index], 1 - right), "these are the shares of files that are not fractured"),
        (
            np.allclose(value[right.index], by_region.sum() / len(table)),
            "you divided by the files of all regions; divide by those of the region",
        ),
        (
            np.allclose(value[right.index], by_region.sum() / table["label"].sum()),
            "this is how the fractures are spread over the regions; asked is the share of fractures in each region",
        ),
        (not np.allclose(value[right.index], right, atol=0.005), "a share differs: label is 1 for a fractured file"),
    )


def _dose(value: Any) -> str | None:
    return because(
        (value <= 0, "a factor is positive"),
        (near(value, 4, 0.1), "that would hold if conspicuity grew like the dose; divide two of the printed numbers"),
        (near(value, 16, 0.1), "that would hold if conspicuity grew like the square of the dose"),
        (near(value, 0.5, 0.1), "it is the *noise* that is halved; the fracture then stands out more"),
        (near(value, 0.25, 0.1), "more dose makes a fracture plainer, not less plain"),
        (near(value, 1, 0.05), "something does grow: compare 1 µGy and 4 µGy"),
        (not near(value, 2, 0.1), "divide the conspicuity at 4 µGy by that at 1 µGy, and at 16 by that at 4"),
    )


def _random_split(value: Any, *, leaky: pd.DataFrame) -> str | None:
    split = pd.Series(np.asarray(value, dtype=object), name="split")
    if len(split) != len(leaky):
        return f"it has {len(split)} entries, and there are {len(leaky)} files"
    if not set(split) <= {"train", "test"}:
        return "write only the words train and test"
    share = float((split == "train").mean())
    spread = split.groupby(leaky["source_id"].to_numpy()).nunique()
    return because(
        (share in (0, 1), "all files are in one split: deal to both"),
        (not 0.5 <= share <= 0.9, f"{share:.0%} of the files are in training; take about 70 %"),
        ((spread == 1).all(), "you dealt by original: all copies of one stayed together. Deal file by file this time"),
        ((spread == 2).mean() < 0.5, "most originals are in one split only: give each *file* its own draw"),
        (
            split.ne(split.shift()).sum() <= 3,
            "the first files went to training and the rest to the test: that is an order, not chance",
        ),
    )


EXERCISES = (
    Exercise(
        key="01.1",
        title="is the region a shortcut?",
        task="Compute the share of fractured files **for each body region**: one number per region. Could a program "
        "guess the label from the region?",
        frame=(
            "«here»\n\n"
            'answer("01.1", share_by_region, table=table)\n'
            "if share_by_region is not None:\n"
            "    print(share_by_region)"
        ),
        blank="share_by_region = None  # TODO: a Series, the regions as its index",
        solved='share_by_region = table.groupby("region")["label"].mean()',
        hint="`groupby` makes the groups. The mean of a column of 0 and 1 is a share.",
        why="The shares hardly differ, so the region tells next to nothing about the label. That is no accident: the "
        "simulation deals patients in small groups of one region, with a fixed share of fractures in each group. In a "
        "hospital the shares do differ (wrists break more often than thigh bones), and a network may use that. Whether "
        "it should is a good question for a discussion.",
        judge=_share_by_region,
        claim=(
            "spread = share_by_region.max() - share_by_region.min()\n"
            'assert spread < 0.1, "the region is no shortcut in this set"'
        ),
    ),
    Exercise(
        key="01.2",
        title="how much dose does a hairline fracture need?",
        task="`radiograph.conspicuity` (the [conspicuity](../docs/glossary.md#conspicuity)) says how plainly a fracture "
        "stands out against the noise. Try some doses. By which **factor** does it grow when the dose grows fourfold?",
        frame=(
            "«here»\n\n"
            "for dose in doses:\n"
            '    hairline = take(fracture_type="hairline", dose=dose, patient=2)\n'
            '    print(f"{dose:5g} µGy: {hairline.conspicuity:.2f}")\n'
            'answer("01.2", factor)'
        ),
        blank="doses = []  # TODO: some doses in µGy, each four times the one before\nfactor = None  # TODO: a number",
        solved="doses = [1, 4, 16, 64]\nfactor = 2",
        hint="Section 5.3: what happens to the noise, measured against the signal, with four times the dose?",
        why="Four times the dose doubles the conspicuity: it grows with the square root of the dose. The fracture's "
        "contrast stays the same; only the noise, measured against the signal, becomes smaller.",
        judge=_dose,
        claim=(
            'seen = [take(fracture_type="hairline", dose=dose, patient=2).conspicuity for dose in doses]\n'
            "ratios = np.array(seen[1:]) / np.array(seen[:-1])\n"
            'assert np.allclose(ratios, factor, rtol=0.1), "conspicuity follows the square root of the dose"'
        ),
    ),
    Exercise(
        key="01.3",
        title="is a random split safe?",
        task="Deal the files of the leaky set at random, **file by file**: about 70 % to training, the others to the "
        "test. Then ask the nearest neighbour again. Explain the result to your neighbour at the desk.",
        frame=(
            "rng = np.random.default_rng(SEED)\n"
            "«here»\n\n"
            'answer("01.3", random_split, leaky=leaky)\n'
            "if random_split is not None:\n"
            "    by_file = memory_score(pd.Series(random_split))\n"
            '    print(f"random split by file: {by_file:.0%}; by source: {honest_score:.0%}")'
        ),
        blank='random_split = None  # TODO: "train" or "test" for each of the len(leaky) files, drawn with rng',
        solved='random_split = pd.Series(rng.choice(["train", "test"], size=len(leaky), p=[0.7, 0.3]))',
        hint="`rng.choice` draws from a list; `size` says how often, `p` with which probabilities.",
        why="A random split by file is as bad as the leaky one. Each original has several copies, so nearly every test "
        "file has a copy in training. Random does not mean independent: deal out *originals* (better: patients), never "
        "files.",
        judge=_random_split,
        setup=(
            'leaky_root = project_folder() / "data" / f"leaky-{LEAKY_FILES}"\n'
            "ensure_simulated(leaky_root, counts=LEAKY_FILES, leaky=True, seed=SEED, progress=False)\n"
            "leaky = read_catalog(leaky_root)\n\n\n"
            "def tiny(path: str) -> np.ndarray:\n"
            '    """A radiograph as 32 × 32 grey values in one row."""\n'
            "    picture = read_radiograph(leaky_root / path)\n"
            "    rows = np.linspace(0, picture.shape[0] - 1, 32).round().astype(int)\n"
            "    columns = np.linspace(0, picture.shape[1] - 1, 32).round().astype(int)\n"
            "    return picture[np.ix_(rows, columns)].ravel().astype(float)\n\n\n"
            'pixels = np.stack([tiny(path) for path in leaky["path"]])\n\n\n'
            "def memory_score(split: pd.Series) -> float:\n"
            '    """Share of the test files for which the most similar training picture has the right label."""\n'
            '    learn, judge = (split == "train").to_numpy(), (split == "test").to_numpy()\n'
            '    label = leaky["label"].to_numpy()\n'
            "    memory = KNeighborsClassifier(n_neighbors=1).fit(pixels[learn], label[learn])\n"
            "    return memory.score(pixels[judge], label[judge])\n\n\n"
            "honest_score = float(\n"
            '    np.mean([memory_score(resplit(leaky, by="source_id", seed=seed)["split"]) for seed in range(RESPLITS)])\n'
            ")"
        ),
        claim='assert by_file > honest_score + 0.1, "dealing out files at random leaks"',
    ),
)
