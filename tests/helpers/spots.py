"""Pictures with a bright spot for a fracture, and a model that sees nothing else."""

from collections import OrderedDict

import numpy as np
import pandas as pd
from PIL import Image
from torch import nn

from fracturelib.config import TrainConfig
from fracturelib.model import FractureClassifier
from fracturelib.trunks.weights import WeightsOrigin

SIDE = 64


CONFIG = TrainConfig(image_size=SIDE, batch_size=4)


def bright_seeker(sign=1.0):
    """A classifier that calls fractured what holds a bright spot: its trunk is the brightness of 8 × 8 cells."""
    convolution = nn.Conv2d(3, 1, 8, stride=8, bias=False)
    nn.init.constant_(convolution.weight, 1 / 64)
    layers = OrderedDict(cells=convolution, above=nn.ReLU(), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten())
    last = nn.Linear(1, 1)
    nn.init.constant_(last.weight, sign * 3.0)
    nn.init.constant_(last.bias, -sign * 1.0)
    head = nn.Sequential(nn.Identity(), last, nn.Sigmoid())
    return FractureClassifier(nn.Sequential(layers), head, WeightsOrigin("none", "bright seeker", None, "")).eval()


def write_spots(root):
    """A table of pictures, 96 × 64 with dim noise, in `root`; the fractured ones have a bright spot in a known box."""
    rng, rows = np.random.default_rng(0), []
    for number in range(40):
        image = rng.integers(0, 40, (96, 64)).astype(np.uint8)
        x, y = int(rng.integers(2, 64 - 18)), int(rng.integers(2, 96 - 18))
        if number % 2:
            image[y : y + 16, x : x + 16] = 250
        path = f"test/{number}.png"
        (root / "test").mkdir(exist_ok=True)
        Image.fromarray(image).save(root / path)
        box = (x, y, 16, 16) if number % 2 else (None,) * 4
        rows.append((path, "test", number % 2, f"s{number}", f"p{number}", 64, 96, *box))
    names = ["path", "split", "label", "source_id", "patient_id", "width", "height"]
    table = pd.DataFrame(rows, columns=[*names, "bbox_x", "bbox_y", "bbox_w", "bbox_h"])
    table.attrs["root"] = str(root)
    return table
