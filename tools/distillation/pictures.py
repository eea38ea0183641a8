"""Pictures kept in memory and the random crops that the teacher and the student look at.

A crop is a function of (seed, step, position in the batch): nothing has to be remembered to resume a run, and no
crop is ever seen twice. Asano and Saeed ("The augmented image prior", ICLR 2023) show how far crops of few pictures go.
"""

from __future__ import annotations

import io
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fracturelib.images import read_radiograph

PHOTOGRAPHS = "photographs"  # the source name that stands for scikit-image's and scikit-learn's own pictures
SUFFIXES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"}
LONGEST_SIDE = 1024  # decoded pictures are reduced so that neither side is larger
SHORTEST_LEVEL = 64  # the pyramid stops before the short side falls below this

Pyramid = list[Image.Image]  # the same picture at 1, 1/2, 1/4 … of its size


@dataclass(frozen=True)
class Source:
    """Pictures of one kind and their share of the crops."""

    name: str
    share: float
    pictures: list[Pyramid]


@dataclass(frozen=True)
class CropStyle:
    """How wild the crops are; `STYLES` names three, from wild to what the trunk sees in use."""

    smallest_area: float = 0.08  # of the picture
    whole: float = 0.15  # chance of the whole picture, squashed to a square as in evaluation
    turn: float = 0.4  # chance of a rotation by any angle
    tilt: float = 20.0  # largest rotation otherwise, degrees
    coarse: float = 0.2  # chance that it was stored small, as a JPEG, as in many public sets
    stretch: float = 0.4  # chance that the grey levels are stretched to the full range
    invert: float = 0.08  # chance of a negative
    noise: float = 0.3  # chance of sensor noise
    exposure: float = 1.0  # strength of the random gamma, contrast and brightness
    grey: float = 0.8  # chance that a colour photograph becomes grey, like the radiographs
    mix: float = 0.3  # chance that another crop of the batch shines through (mixup: Zhang et al., ICLR 2018)


STYLES = {
    "wild": CropStyle(),
    "close": CropStyle(
        smallest_area=0.3,
        whole=0.3,
        turn=0.25,
        tilt=12.0,
        stretch=0.2,
        invert=0.0,
        noise=0.2,
        exposure=0.5,
        mix=0.15,
    ),
    "gentle": CropStyle(
        smallest_area=0.4,
        whole=0.5,
        turn=0.1,
        tilt=10.0,
        coarse=0.1,
        stretch=0.1,
        invert=0.0,
        noise=0.0,
        grey=1.0,
        mix=0.0,
    ),
}


def load_sources(shares: dict[str, float], *, short_side: int = 448) -> list[Source]:
    """Read every source once; a folder that is missing or empty is said aloud and left out.

    Args:
        shares: share of the crops by folder, or by the word `photographs`; they need not sum to 1.
        short_side: largest short side kept in memory, px.

    Raises:
        SystemExit: no picture at all.
    """
    sources = []
    for name, share in shares.items():
        pictures = _photographs() if name == PHOTOGRAPHS else _folder(Path(name), short_side)
        if share > 0 and not pictures:
            print(f"no pictures in {name}: left out", file=sys.stderr)
        elif share > 0:
            sources.append(Source(name, share, [_pyramid(picture, short_side) for picture in pictures]))
    if not sources:
        raise SystemExit("no pictures to distil from: check the folders given to --pictures")
    return sources


def random_batch(
    sources: list[Source], *, seed: int, step: int, count: int, side: int, style: CropStyle | None = None
) -> np.ndarray:
    """`count` crops as uint8 (count, side, side, 3); the same arguments always give the same batch."""
    rng, style = np.random.default_rng([seed, step]), style or CropStyle()
    shares = np.array([source.share for source in sources])
    batch = np.empty((count, side, side, 3), np.uint8)
    for row, choice in enumerate(rng.choice(len(sources), size=count, p=shares / shares.sum())):
        pictures = sources[choice].pictures
        crop = random_crop(pictures[rng.integers(len(pictures))], side, style, rng)
        batch[row] = crop if crop.ndim == 3 else crop[:, :, None]
    return _mixed(batch, style.mix, rng)


def _mixed(batch: np.ndarray, chance: float, rng: np.random.Generator) -> np.ndarray:
    """Each crop, with this chance, blended with its neighbour in the batch by a random share."""
    share = np.where(rng.random(len(batch)) < chance, rng.random(len(batch)), 0.0).astype(np.float32)
    rows = np.flatnonzero(share)
    other, share = np.roll(batch, 1, axis=0)[rows], share[rows, None, None, None]
    batch[rows] = ((1 - share) * batch[rows] + share * other + 0.5).astype(np.uint8)
    return batch


def random_crop(pyramid: Pyramid, side: int, style: CropStyle, rng: np.random.Generator) -> np.ndarray:
    """One augmented crop, uint8 (side, side) or (side, side, 3); what lies outside the picture is black."""
    crop = _geometry(pyramid, side, style, rng)
    if crop.mode == "RGB" and rng.random() < style.grey:
        crop = crop.convert("L")
    if rng.random() < style.coarse:
        crop = _stored_small(crop, rng)
    return _photometry(np.asarray(crop), style, rng)


def _geometry(pyramid: Pyramid, side: int, style: CropStyle, rng: np.random.Generator) -> Image.Image:
    """Position, scale, aspect, rotation and mirror in one affine map from the fitting pyramid level."""
    width, height = pyramid[0].size
    if rng.random() < style.whole:
        box_w, box_h = float(width), float(height)
    else:
        area = width * height * math.exp(rng.uniform(math.log(style.smallest_area), 0.0))
        aspect = math.exp(rng.uniform(-0.45, 0.45))
        box_w, box_h = min(width, math.sqrt(area * aspect)), min(height, math.sqrt(area / aspect))
    centre = (rng.uniform(box_w, 2 * width - box_w) / 2, rng.uniform(box_h, 2 * height - box_h) / 2)
    tilt = 180.0 if rng.random() < style.turn else style.tilt
    angle = math.radians(rng.uniform(-tilt, tilt))
    mirror = 1 if rng.random() < 0.5 else -1
    # The largest reduction that still leaves at least one source pixel per crop pixel keeps aliasing away.
    level = int(np.clip(math.log2(max(1.0, math.sqrt(box_w * box_h) / side)), 0, len(pyramid) - 1))
    picture = pyramid[level]
    zoom_x, zoom_y = picture.size[0] / width / side, picture.size[1] / height / side
    a, b = mirror * math.cos(angle) * box_w * zoom_x, -math.sin(angle) * box_w * zoom_x
    d, e = mirror * math.sin(angle) * box_h * zoom_y, math.cos(angle) * box_h * zoom_y
    c = centre[0] * zoom_x * side - (a + b) * side / 2
    f = centre[1] * zoom_y * side - (d + e) * side / 2
    return picture.transform((side, side), Image.Transform.AFFINE, (a, b, c, d, e, f), Image.Resampling.BILINEAR)


def _stored_small(crop: Image.Image, rng: np.random.Generator) -> Image.Image:
    """The crop as it comes back from a small JPEG file."""
    side = round(crop.size[0] * rng.uniform(0.4, 1.0))
    file = io.BytesIO()
    crop.resize((side, side), Image.Resampling.BOX).save(file, "JPEG", quality=int(rng.integers(30, 90)))
    return Image.open(file).resize(crop.size, Image.Resampling.BICUBIC)


def _photometry(crop: np.ndarray, style: CropStyle, rng: np.random.Generator) -> np.ndarray:
    """Stretch, gamma, contrast, brightness and negative through one look-up table, then sensor noise."""
    levels = np.linspace(0.0, 1.0, 256)
    if rng.random() < style.stretch:  # many radiographs are stored dark
        low, high = np.percentile(crop, (1, 99)) / 255
        levels = ((levels - low) / max(high - low, 0.1)).clip(0, 1)
    strength = style.exposure
    levels = levels ** math.exp(strength * rng.uniform(-0.5, 0.4))
    levels = (levels - 0.5) * math.exp(strength * rng.uniform(-0.4, 0.4)) + 0.5 + strength * rng.uniform(-0.12, 0.12)
    if rng.random() < style.invert:
        levels = 1.0 - levels
    crop = (255 * levels.clip(0, 1)).astype(np.uint8)[crop]
    if rng.random() < style.noise:
        grain = rng.standard_normal(crop.shape[:2], np.float32) * rng.uniform(1, 9)
        crop = (crop + (grain if crop.ndim == 2 else grain[:, :, None])).clip(0, 255).astype(np.uint8)
    return crop


def _pyramid(picture: Image.Image, short_side: int) -> Pyramid:
    scale = min(1.0, short_side / min(picture.size), LONGEST_SIDE / max(picture.size))
    size = tuple(max(1, round(scale * edge)) for edge in picture.size)
    levels = [picture.resize(size, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BICUBIC)]
    while min(levels[-1].size) >= 2 * SHORTEST_LEVEL:
        levels.append(levels[-1].reduce(2))
    return levels


def _folder(folder: Path, short_side: int) -> list[Image.Image]:
    """Every radiograph below the folder, grey."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    return [Image.fromarray(read_radiograph(path, target_side=short_side)) for path in paths]


def _photographs() -> list[Image.Image]:
    """The photographs that scikit-image and scikit-learn carry in their packages (no download)."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    names = ["astronaut", "brick", "camera", "cat", "coffee", "coins", "grass", "gravel", "hubble_deep_field"]
    names += ["immunohistochemistry", "moon", "retina", "rocket"]
    arrays = [getattr(data, name)() for name in names] + list(load_sample_images().images)
    arrays += list(data.stereo_motorcycle()[:1])
    return [Image.fromarray(array) for array in arrays]
