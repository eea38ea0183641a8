"""Damage to pictures: what it does to them, and to a score that is known to depend on it."""

import numpy as np
import pytest

from fracturelib.errors import EvaluationError
from fracturelib.stress import PERTURBATIONS, perturb, robustness_table
from fracturelib.stress.robustness import subset
from fracturelib.writing.verdicts import Verdict
from tests.helpers.spots import CONFIG, bright_seeker

RAMP = np.tile(np.linspace(0.2, 0.8, 64, dtype=np.float32), (64, 1))


def test_noise_has_the_stated_strength():
    changed = perturb(np.full((200, 200), 0.5), "noise", 0.05, np.random.default_rng(0))
    assert changed.std() == pytest.approx(0.05, rel=0.02)


def test_blur_spreads_a_point_by_its_share_of_the_side():
    point = np.zeros((101, 101))
    point[50, 50] = 1
    changed = perturb(point, "blur", 2.0, np.random.default_rng(0))
    steps = np.arange(101) - 50
    assert np.sqrt((changed.sum(axis=0) * steps**2).sum() / changed.sum()) == pytest.approx(2.02, rel=0.03)


def test_contrast_scales_the_spread_and_keeps_the_mean():
    changed = perturb(RAMP, "contrast", 0.5, np.random.default_rng(0))
    assert changed.mean() == pytest.approx(RAMP.mean(), abs=1e-4)
    assert changed.std() == pytest.approx(RAMP.std() / 2, rel=1e-3)


def test_rotation_turns_to_both_sides():
    turned = [perturb(RAMP, "rotation", 30.0, np.random.default_rng(seed)) for seed in range(8)]
    assert all(one[0, 0] == 0 for one in turned)  # a black corner
    assert len({one.tobytes() for one in turned}) == 2


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_pictures_stay_in_range_and_the_original_stays_as_it_was(kind):
    before = RAMP.copy()
    for level in PERTURBATIONS[kind]:
        changed = perturb(RAMP, kind, level, np.random.default_rng(0))
        assert changed.shape == RAMP.shape and changed.min() >= 0 and changed.max() <= 1
    np.testing.assert_array_equal(RAMP, before)


def test_an_unknown_kind_is_refused():
    with pytest.raises(EvaluationError, match="unknown perturbation"):
        perturb(RAMP, "rain", 1.0, np.random.default_rng(0))


def test_the_table_sees_what_hurts_and_what_does_not(spots):
    levels = {"contrast": (1.0, 0.1), "rotation": (0.0,)}
    found = robustness_table(
        bright_seeker(), spots, CONFIG, threshold=0.5, perturbations=levels, count=40, resamples=200
    )
    assert found["perturbation"].tolist() == ["none", "contrast", "contrast", "rotation"]
    clean, same, flat, straight = found.to_dict("records")
    assert clean["auc"] == 1.0 and (clean["n"], clean["units"], clean["unit"]) == (40, 40, "patients")
    assert same["verdict"] == straight["verdict"] == Verdict.NEITHER
    assert same["auc_change"] == 0 and flat["sensitivity"] < clean["sensitivity"] + 1e-9
    again = robustness_table(
        bright_seeker(), spots, CONFIG, threshold=0.5, perturbations=levels, count=40, resamples=200
    )
    assert again.equals(found)


def test_the_subset_keeps_the_share_and_takes_as_many_patients_as_it_can(spots):
    twice = spots.assign(patient_id=[f"p{number // 4}" for number in range(40)])
    some = subset(twice, count=20, seed=0)
    assert len(some) == 20 and some["label"].mean() == 0.5
    assert some["patient_id"].nunique() == 10
    assert some.attrs["root"] == spots.attrs["root"]
    assert len(subset(twice, count=1000, seed=0)) == 40
    with pytest.raises(EvaluationError, match="no images"):
        subset(twice.iloc[:0], count=5, seed=0)
