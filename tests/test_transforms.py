import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from fracturelib.config import IMAGENET_MEAN, IMAGENET_STD, TrainConfig
from fracturelib.runtime import seeded
from fracturelib.transforms import denormalize, eval_transform, train_transform


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
