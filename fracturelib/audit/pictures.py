"""What the audit keeps of each picture: its keypoints, and its fine structure for comparison.

Keypoints are SIFT (Lowe, International Journal of Computer Vision 60 (2004), 91–110): they come back at the same
places of the anatomy after rotation, resizing, cropping and a change of contrast.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

METHOD = "8"  # of this package; what another one found is not taken over
SIDE = 192  # pixels of the long side at which pictures are compared
# Pixels of the long side at which keypoints are looked for, and how many are kept, the strongest ones. This is most of
# the time of a file; 192 pixels and 200 keypoints take a third longer, and bring 0.978 of the pairs of copies together
# that were planted among 160 FracAtlas pictures in place of 0.976, and 0.996 of the wrist set's in place of all.
KEYPOINT_SIDE, KEYPOINTS = 144, 160
BLACK = 3  # grey values up to here are filled corners or empty ground
MARGIN = 4  # pixels beside black ground and borders where a rotation leaves its traces
GRAIN = 4.0  # pixels: structure is what differs from its surroundings of this radius
STEPS = 30.0  # the scale of `Picture.structure`: so many whole numbers per local standard deviation
NOTHING = -128  # in `Picture.structure`: no anatomy here

# A SIFT descriptor holds 4 × 4 cells × 8 directions, turned along its keypoint. In a mirror, the cells swap sides and
# the directions run the other way round; so the descriptor of a mirrored picture is a mere reordering.
MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()
# Where bright and dark are exchanged, a keypoint turns by half a circle, and its cells with it; relative to it, the
# directions stay.
INVERTED = np.arange(128).reshape(4, 4, 8)[::-1, ::-1].ravel()


class Form(StrEnum):
    """In which form one picture of a pair is laid on the other."""

    AS_IT_IS = "as it is"
    MIRRORED = "mirrored"
    INVERTED = "inverted"


@dataclass(frozen=True)
class Picture:
    """One picture, as far as it is needed to find its copies.

    Attributes:
        points: places (k, 2) of the keypoints, x and y in pixels.
        angles: their directions (k,) in degrees, clockwise from the x axis, as y runs downwards.
        descriptors: (k, 128), uint8: square roots of the SIFT histograms, so that their product is Hellinger's
            kernel (Arandjelović and Zisserman, CVPR 2012).
        structure: (H, W), int8: grey values less their local mean, over their local standard deviation, times `STEPS`;
            `NOTHING` where the ground is black or the border is near. Brightness and contrast do not change it.
    """

    points: np.ndarray
    angles: np.ndarray
    descriptors: np.ndarray
    structure: np.ndarray


def describe_picture(pixels: np.ndarray) -> Picture:
    """Keypoints and fine structure of a radiograph, uint8 (H, W), of any size."""
    small = shrink(pixels, SIDE)
    contrasted = shrink(cv2.createCLAHE(6.0, (6, 6)).apply(small), KEYPOINT_SIDE)
    finder = cv2.SIFT.create(nfeatures=KEYPOINTS, contrastThreshold=0.002, edgeThreshold=30)
    keypoints, descriptors = finder.detectAndCompute(contrasted, None)
    if descriptors is None:
        nothing = np.zeros((0, 2), np.float32), np.zeros(0, np.float32), np.zeros((0, 128), np.uint8)
        return Picture(*nothing, _structure(small))
    shares = descriptors[:KEYPOINTS] / np.maximum(descriptors[:KEYPOINTS].sum(axis=1, keepdims=True), 1e-6)
    larger = np.array(small.shape[::-1]) / contrasted.shape[::-1]
    points = (np.array([keypoint.pt for keypoint in keypoints[:KEYPOINTS]], np.float32) + 0.5) * larger - 0.5
    angles = np.array([keypoint.angle for keypoint in keypoints[:KEYPOINTS]], np.float32)
    return Picture(
        points.astype(np.float32), angles, np.minimum(np.sqrt(shares) * 512, 255).astype(np.uint8), _structure(small)
    )


def inverse(picture: Picture) -> Picture:
    """What `describe_picture` gives of the same radiograph with bright and dark exchanged, but for the ground."""
    structure = np.where(picture.structure == NOTHING, picture.structure, -picture.structure)
    return Picture(picture.points, (picture.angles + 180) % 360, picture.descriptors[:, INVERTED], structure)


def shrink(pixels: np.ndarray, side: int) -> np.ndarray:
    """The picture with a long side of `side` pixels; a smaller one is enlarged."""
    height, width = pixels.shape
    scale = side / max(height, width)
    size = max(8, round(width * scale)), max(8, round(height * scale))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def unit_descriptors(picture: Picture) -> np.ndarray:
    """The descriptors (k, 128) as float32 vectors of length 1."""
    values = picture.descriptors.astype(np.float32)
    values /= np.sqrt(np.maximum(np.einsum("ij,ij->i", values, values), 1e-12))[:, None]
    return values


def _structure(small: np.ndarray) -> np.ndarray:
    """Local normalisation inside the anatomy; black ground has no part in the local means."""
    lit = (cv2.GaussianBlur(small, (0, 0), 1.0) > BLACK).astype(np.float32)
    values = small.astype(np.float32)
    near = np.maximum(_blur(lit), 1e-3)
    deviation = (values - _blur(values * lit) / near) * lit
    spread = np.sqrt(_blur(deviation**2) / near + 9)  # 3 grey values: below it there is only noise
    scaled = np.clip(np.rint(deviation / spread * STEPS), -127, 127).astype(np.int8)
    inside = cv2.erode(lit, np.ones((2 * MARGIN + 1,) * 2, np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    scaled[inside == 0] = NOTHING
    return scaled


def _blur(values: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(values, (0, 0), GRAIN)
