"""The README's figure from a finished run: `python -m tools.readme_figure runs/demo docs/figures/readme.png`.

Left: test radiographs with truth and P(fractured), two each of what the model called rightly and wrongly. Right: the
model beside its two baselines, with 95 % intervals.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from fracturelib.config import CLASS_NAMES
from fracturelib.images import read_radiograph
from fracturelib.plots.forests import score_forest
from fracturelib.plots.galleries import image_grid
from fracturelib.runs import load_run
from fracturelib.writing.palette import CLASS_COLOURS

SHOWN = ((1, True), (0, True), (1, False), (0, False))  # (label, called rightly), two pictures of each
SIDE = 240  # pixels of each square picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    run = load_run(options.run)
    chosen = choose(pd.read_csv(options.run / "predictions.csv"))
    figure = plt.figure(figsize=(15, 6.6), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.25, 1))
    image_grid(
        [square(read_radiograph(Path(run.config.data) / path, target_side=SIDE)) for path in chosen["path"]],
        [f"{CLASS_NAMES[row.label]}\nP(fractured) {row.probability:.2f}" for row in chosen.itertuples()],
        colours=[CLASS_COLOURS[label] for label in chosen["label"]],
        figure=left,
    )
    left.suptitle("Simulated test radiographs: called rightly (above), wrongly (below)", fontsize=14)
    score_forest(pd.DataFrame(run.metrics["comparison"]), ax=right.subplots())
    right.suptitle(f"{run.metrics['n_files']} test images the model never saw", fontsize=14)
    options.file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.file, dpi=80)


def choose(predictions: pd.DataFrame) -> pd.DataFrame:
    """Two rows of each kind in `SHOWN`: those of middling confidence, neither the best nor the worst."""
    right = predictions["label"] == predictions["prediction"]
    parts = []
    for label, rightly in SHOWN:
        rows = predictions[(predictions["label"] == label) & (right == rightly)].sort_values("probability")
        parts.append(rows.iloc[np.linspace(0, len(rows) - 1, 6).astype(int)[[2, 4]]])
    return pd.concat(parts)


def square(image: np.ndarray) -> np.ndarray:
    """The picture (H, W) centred on a black square, so that all frames are of one size."""
    side = max(image.shape)
    padded = np.zeros((side, side), np.uint8)
    top, left = ((side - length) // 2 for length in image.shape)
    padded[top : top + image.shape[0], left : left + image.shape[1]] = image
    return padded


if __name__ == "__main__":
    main()
