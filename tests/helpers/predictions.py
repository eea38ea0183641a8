"""Made-up predictions, and their scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import assume
from hypothesis import strategies as st

from fracturelib.evaluation import scores


@st.composite
def predictions_of_both_classes(draw):
    """Labels and probabilities with many ties."""
    size = draw(st.integers(2, 40))
    labels = draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))
    steps = draw(st.lists(st.integers(0, 16), min_size=size, max_size=size))
    assume(0 < sum(labels) < size)
    return np.array(labels), np.array(steps) / 16


def simulated(sources=120, copies=1, skill=1.0, seed=0):
    """Predictions in which the copies of one source differ little."""
    rng = np.random.default_rng(seed)
    label = np.arange(sources) % 2
    score = rng.normal(skill * (2 * label - 1), 1)
    score = np.repeat(score, copies) + rng.normal(0, 0.1, sources * copies)
    return pd.DataFrame(
        {
            "path": [f"test/IMG{number:05d}.png" for number in range(sources * copies)],
            "label": np.repeat(label, copies),
            "probability": 1 / (1 + np.exp(-score)),
            "source_id": [f"s{source}" for source in np.repeat(np.arange(sources), copies)],
        }
    )


def scored(table, **options):
    options = {"threshold": 0.5, "sources": table["source_id"], "resamples": 300} | options
    return scores(table["label"], table["probability"], **options).set_index("metric")
