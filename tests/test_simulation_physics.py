"""The simulated picture: path lengths, attenuation, noise, and what a fracture changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fracturelib.errors import FracturelibError
from fracturelib.simulation import FRACTURE_TYPES, REGIONS, VIEWS, physics, simulate_one
from fracturelib.simulation.body import project_body
from fracturelib.simulation.fractures import ANGLES
from fracturelib.simulation.patient import draw_patient, draw_setting
from fracturelib.simulation.projection import _coverage, project_ellipsoid, project_tube
from fracturelib.simulation.solids import Crack, Ellipsoid, Film, Motion, Tube

EXPOSURE = physics.Exposure(
    dose=50.0, efficiency=0.6, focal_blur=0.2, detector_blur=0.1, scatter=0.0, local=0.0, sharpen=0.0, gamma=1.0,
    reach=1.0, black=0.05,
)  # fmt: skip
angles = st.floats(-3.1, 3.1)


def make_tube(lean: tuple[float, float] = (0.0, 0.0)) -> Tube:
    stations = np.tile([0.0, 0.0, 9.0, 6.0, 2.0, 0.2], (60, 1))
    axis = np.array([np.sin(lean[0]), np.sin(lean[1]), 1.0])
    return Tube(np.array([0.0, 0.0, -30.0]), axis / np.linalg.norm(axis), stations, 60.0)


def film(theta: float = 0.0, roll: float = 0.0, pixel: float = 0.4) -> Film:
    return Film((300, 260), pixel, (0.0, 0.0), theta, roll)


@given(theta=angles, roll=angles, lean=st.floats(-1.5, 1.5), radii=st.tuples(*[st.floats(6, 30)] * 3))
@settings(max_examples=12, deadline=None)
def test_ellipsoid_has_its_volume_from_every_side(theta, roll, lean, radii):
    solid = Ellipsoid(np.array([2.0, -3.0, 4.0]), np.array(radii), wall=1.0, lean=lean)
    chords = project_ellipsoid(solid, film(theta, roll))
    assert chords.outer.sum() * 0.4**2 == pytest.approx(4 / 3 * np.pi * np.prod(radii), rel=0.02)
    assert chords.inner.sum() * 0.4**2 == pytest.approx(4 / 3 * np.pi * np.prod(np.array(radii) - 1), rel=0.03)


@given(theta=angles, lean=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)))
@settings(max_examples=12, deadline=None)
def test_tube_has_its_volume_from_every_side(theta, lean):
    chords = project_tube(make_tube(lean), film(theta))
    assert chords.outer.sum() * 0.4**2 == pytest.approx(np.pi * 9 * 6 * 60, rel=0.03)
    assert chords.inner.sum() * 0.4**2 == pytest.approx(np.pi * 7 * 4 * 60, rel=0.03)


@given(theta=angles, slope=st.floats(0.0, 15.0), phase=angles)
@settings(max_examples=12, deadline=None)
def test_the_two_sides_of_a_cut_make_up_the_whole(theta, slope, phase):
    tube = make_tube()
    crack = Crack(28.0, (slope * np.cos(ANGLES - phase)).astype(np.float32), np.ones(len(ANGLES), np.float32))
    whole, near, far = (project_tube(tube, film(theta), **cut) for cut in ({}, {"above": crack}, {"below": crack}))
    np.testing.assert_allclose(near.outer + far.outer, whole.outer, atol=1e-3)
    np.testing.assert_allclose(near.inner + far.inner, whole.inner, atol=1e-3)


@given(width=st.floats(0.05, 3.0), pixel=st.floats(0.1, 1.5), place=st.floats(-0.5, 0.5))
def test_a_slot_takes_away_its_own_width_whatever_the_pixels(width, pixel, place):
    distance = (np.arange(-200, 200) + place) * pixel
    assert _coverage(np.float64(width), distance, pixel).sum() * pixel == pytest.approx(width, rel=1e-4)


@given(tilt=st.floats(-0.5, 0.5), shift=st.floats(-20, 20), theta=angles)
def test_motion_is_undone_by_pulling_back(tilt, shift, theta):
    motion = Motion((3.0, -2.0, 5.0), (tilt, tilt / 2), (shift, -shift, 2.0))
    points = np.array([[1.0, 2.0], [-30.0, 44.0], [12.0, 9.0]])
    moved = motion.push(points, theta)
    back = np.stack(motion.pull_back(moved[:, 0], moved[:, 1], theta), axis=1)
    np.testing.assert_allclose(back, points, atol=1e-3)


@given(cortex=st.floats(0, 20), muscle=st.floats(0, 200), metal=st.floats(0, 3))
def test_beer_lambert_on_a_slab(cortex, muscle, metal):
    paths = {"cortex": cortex, "muscle": muscle, "metal": metal}
    slab = {tissue: np.full((24, 24), length, np.float32) for tissue, length in paths.items()}
    counts = physics.expected_counts(physics.line_integral(slab), EXPOSURE, 0.3)
    # NIST, 40 keV: 0.6655 cm2/g x 1.92 g/cm3, 0.2688 x 1.05, 3.629 x 7.87
    depth = 1.27776 * cortex / 10 + 0.28224 * muscle / 10 + 28.56023 * metal / 10
    in_air = 50.0 * 30_174.0 * 0.3**2 * 0.6
    np.testing.assert_allclose(counts, in_air * np.exp(-depth), rtol=1e-4)


@pytest.mark.parametrize("dose", [1.0, 30.0, 400.0])
def test_noise_follows_the_dose(dose):
    exposure = replace(EXPOSURE, dose=dose)
    slab = np.full((300, 300), 1.5, np.float32)
    expected = physics.expected_counts(slab, exposure, 0.3)
    counts = physics.detect(expected, np.random.default_rng(0))
    assert counts.mean() == pytest.approx(expected.mean(), rel=0.01)
    assert counts.var() == pytest.approx(expected.mean(), rel=0.03)
    signal = physics.log_signal(counts, replace(exposure, detector_blur=0.0), 0.3)
    assert signal.std() == pytest.approx(1 / np.sqrt(expected.mean()), rel=0.05)


def test_scatter_adds_light_behind_the_body_only():
    slab = np.zeros((200, 200), np.float32)
    slab[:, 60:140] = 2.0
    plain, veiled = (physics.expected_counts(slab, replace(EXPOSURE, scatter=s), 1.0) for s in (0.0, 0.5))
    added = (veiled - plain) / plain
    assert added[100, 100] > 0.2
    assert (veiled >= plain).all()


@pytest.mark.parametrize("region", REGIONS)
def test_both_views_show_one_anatomy(region):
    patient = draw_patient((5,), replace(draw_setting((5,)), region=region), fractured=False)
    bone = patient.limb.tube(patient.site.bone)
    middle = bone.point(bone.length / 2)
    reach = bone.length / 2 + 60
    volumes = []
    for theta in (0.0, np.pi / 2):
        centre = (float(middle[0] * np.cos(theta) + middle[1] * np.sin(theta)), float(middle[2]))
        view = Film((int(reach / 0.4),) * 2, 0.8, centre, theta)
        volumes.append(project_tube(bone, view).outer.sum())
    assert volumes[0] == pytest.approx(volumes[1], rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("kind", FRACTURE_TYPES)
def test_the_box_lies_on_bone_and_holds_the_change(kind, view):
    age = "child" if kind in ("greenstick", "buckle") else "adult"
    seed = FRACTURE_TYPES.index(kind)
    given_patient = {"view": view, "age_group": age, "image_side": 80, "hardware": False, "cast": False}
    broken = simulate_one(seed, fracture_type=kind, **given_patient)
    whole = simulate_one(seed, **given_patient)
    x, y, w, h = broken.bbox
    inside = np.s_[y : y + h, x : x + w]
    assert broken.path_lengths["cortex"][inside].max() > 0.5
    change = np.abs(broken.line_integral - whole.line_integral)
    assert change[inside].max() > 0.01
    assert broken.conspicuity > 0
    assert whole.bbox is None and whole.conspicuity == 0
    if kind == "hairline":  # nothing moves, so all that changes is in the box
        change[inside] = 0
        assert change.max() < 1e-4


def test_a_fracture_changes_nothing_far_from_it():
    given_patient = {"region": "forearm", "image_side": 128, "hardware": False, "cast": True}
    broken = simulate_one(2, fracture_type="hairline", **given_patient)
    whole = simulate_one(2, **given_patient)
    assert broken.picture.shape == whole.picture.shape
    assert broken.picture.mean() == pytest.approx(whole.picture.mean(), abs=0.5)
    for tissue in ("metal", "plaster"):
        np.testing.assert_array_equal(broken.path_lengths[tissue], whole.path_lengths[tissue])


def test_more_displacement_is_more_conspicuous_and_leaves_the_patient_alone():
    pictures = [
        simulate_one(8, fracture_type="transverse", displacement_mm=step, image_side=128) for step in (0, 4, 12)
    ]
    seen = [picture.conspicuity for picture in pictures]
    assert seen[0] < seen[1] < seen[2]
    assert len({picture.patient.site for picture in pictures}) == 1
    assert len({picture.patient.limb.build for picture in pictures}) == 1


@pytest.mark.slow
def test_steps_of_one_picture_agree():
    made = simulate_one(1, fracture_type="oblique", dose=40.0)
    np.testing.assert_allclose(made.transmitted, np.exp(-physics.line_integral(made.path_lengths)), rtol=1e-5)
    assert made.picture.dtype == np.uint8 and min(made.picture.shape) == 256
    assert all((path >= 0).all() for path in made.path_lengths.values())
    more = simulate_one(1, fracture_type="oblique", dose=80.0)
    np.testing.assert_allclose(more.expected_counts, 2 * made.expected_counts, rtol=1e-5)


@pytest.mark.slow
def test_air_is_dark_and_cortex_bright():
    for seed in range(6):
        made = simulate_one(seed, image_side=128, hardware=False, cast=False)
        inner = np.s_[16:-16, 16:-16]  # inside collimation edges
        air = made.path_lengths["fat"] + made.path_lengths["muscle"] < 0.1
        bone = made.path_lengths["cortex"] > 4
        soft = ~air & (made.path_lengths["cortex"] == 0)
        grey = [made.picture[inner][part[inner]] for part in (air, soft, bone)]
        means = [part.mean() for part in grey if part.size > 50]
        assert means == sorted(means)


def test_paths_stay_within_the_skin():
    patient = draw_patient((3,), draw_setting((3,)), fractured=False)
    body = project_body(patient.limb, Film((200, 200), 1.0, (0.0, 300.0)))
    assert (body["muscle"] <= body["flesh"] + 1e-4).all()


@pytest.mark.parametrize(
    "wrong", [{"region": "skull"}, {"view": "oblique"}, {"fracture_type": "sprain"}, {"device": "C"}]
)
def test_unknown_names_are_refused(wrong):
    with pytest.raises(FracturelibError, match="choose one of"):
        simulate_one(0, **wrong)
