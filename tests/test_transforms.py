import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from fracturelib.config import IMAGENET_MEAN, IMAGENET_STD, TrainConfig
from fracturelib.errors import ImageError
from fracturelib.runtime import seeded
from fracturelib.transforms import apply_steps, denormalize, eval_transform, is_random, split_transform, train_transform


@pytest.fixture
def radiograph():
    return np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)


def test_eval_is_resize_and_normalisation_and_nothing_else(radiograph):
    image = eval_transform(TrainConfig(image_size=48))(radiograph)
    resized = functional.resize(torch.from_numpy(radiograph)[None], [48, 48], antialias=True).float() / 255
    expected = functional.normalize(resized.expand(3, -1, -1), IMAGENET_MEAN, IMAGENET_STD)
    assert image.shape == (3, 48, 48) and image.dtype == torch.float32
    torch.testing.assert_close(image, expected)


def test_train_without_strength_is_eval(radiograph):
    still = TrainConfig(image_size=48, flip_probability=0.0, rotation_degrees=0.0, crop_fraction=1.0)
    torch.testing.assert_close(train_transform(still)(radiograph), eval_transform(still)(radiograph))


def test_train_varies_and_repeats_with_the_seed(radiograph):
    transform = train_transform(TrainConfig(image_size=48))

    def view(number):
        with seeded(0, number):
            return transform(radiograph)

    assert torch.equal(view(1), view(1))
    assert not torch.equal(view(1), view(2))
    assert view(1).shape == (3, 48, 48)


def test_flip_mirrors(radiograph):
    mirrored = TrainConfig(image_size=48, flip_probability=1.0, rotation_degrees=0.0, crop_fraction=1.0)
    torch.testing.assert_close(train_transform(mirrored)(radiograph), eval_transform(mirrored)(radiograph).flip(-1))


def test_denormalize_undoes_the_normalisation():
    pixels = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(denormalize(functional.normalize(pixels, IMAGENET_MEAN, IMAGENET_STD)), pixels)


def test_the_array_is_left_alone(radiograph):
    before = radiograph.copy()
    train_transform(TrainConfig(image_size=48))(radiograph)
    assert (radiograph == before).all()


def shifted_by_others(image):
    """A reader's own step, which draws from Python's and NumPy's generators."""
    return functional.affine(image, 0.0, [random.randint(-9, 9), int(np.random.randint(-9, 9))], 1.0, [0.0, 0.0])  # noqa: NPY002


UNKNOWN = {
    "ColorJitter": v2.ColorJitter(brightness=0.5),
    "GaussianBlur": v2.GaussianBlur(5),
    "RandAugment": v2.RandAugment(),
    "TrivialAugmentWide": v2.TrivialAugmentWide(),
    "ElasticTransform": v2.ElasticTransform(alpha=80.0),
    "expanding rotation": v2.Compose([v2.RandomRotation(40, expand=True), v2.RandomCrop(50)]),
    "a function": shifted_by_others,
}


@pytest.mark.parametrize("step", UNKNOWN.values(), ids=UNKNOWN)
def test_a_random_step_of_any_name_repeats_for_the_same_seed_in_threads_too(radiograph, step):
    steps, _ = split_transform(train_transform(TrainConfig(image_size=48)))
    steps = [*steps[:2], step, *steps[2:]]
    assert is_random([step])
    expected = []
    for number in range(24):
        with seeded(0, number):
            expected.append(v2.Compose(steps)(radiograph))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: apply_steps(steps, radiograph, seeded(0, number)), range(24)))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert len({image.numpy().tobytes() for image in found}) > 8


def test_the_recipe_is_drawn_apart_and_gives_what_it_gives_as_a_whole(radiograph):
    steps, _ = split_transform(train_transform(TrainConfig(image_size=48)))
    for number in range(8):
        with seeded(0, number):
            whole = v2.Compose(steps)(radiograph)
        assert torch.equal(apply_steps(steps, radiograph, seeded(0, number)), whole)


def test_seeding_a_block_leaves_everybody_elses_randomness_alone():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    expected = random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    with seeded(5):
        random.random(), np.random.random(), torch.rand(1)  # noqa: NPY002
    assert (random.random(), np.random.random(), torch.rand(1).item()) == expected  # noqa: NPY002


def test_floats_of_0_to_1_are_the_same_picture_and_anything_else_is_refused(radiograph):
    transform = eval_transform(TrainConfig(image_size=48))
    torch.testing.assert_close(transform(radiograph / 255), transform(radiograph))
    torch.testing.assert_close(transform(radiograph.astype(np.int64)), transform(radiograph))
    assert transform(radiograph > 127).max() > 1.0  # white, not black
    colour, holes = np.stack([radiograph] * 3), np.where(radiograph > 9, radiograph / 255, np.nan)
    for wrong in (radiograph.astype(np.uint16) * 257, radiograph.astype(float), -radiograph.astype(int), colour, holes):
        with pytest.raises(ImageError, match="a grey picture is needed"):
            transform(wrong)
