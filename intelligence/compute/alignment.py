"""Faces brought into the one pose that face models are trained on."""

from __future__ import annotations

from dataclasses import astuple
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from intelligence.compute.base import Landmarks
from intelligence.compute.picture import Picture, PixelBox, Pixels

Points = NDArray[np.float64]
"""Shape (n, 2): x, y in pixels."""

Affine = NDArray[np.float64]
"""Shape (2, 3): [scaled rotation | shift]."""

CROP_SIDE = 112

TEMPLATE: Points = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
"""Where the five landmarks lie in a crop; the points that ArcFace and its kin were trained with."""

_CORNERS: Points = np.array([(0, 0), (CROP_SIDE, 0), (CROP_SIDE, CROP_SIDE), (0, CROP_SIDE)], dtype=float)


def aligned_crop(picture: Picture, landmarks: Landmarks) -> Pixels:
    """The face at CROP_SIDE x CROP_SIDE; black where it reaches beyond the picture.

    Cut from the picture at about the crop's own scale: bilinear sampling of a much larger face would
    leave out most of its pixels.
    """
    points = np.array(astuple(landmarks), dtype=float)
    full_side = max(picture.size)
    shrinks_by = _scale(similarity(points * picture.size, TEMPLATE))
    long_side = min(full_side, max(1, round(full_side * shrinks_by)))
    size = picture.scaled_size(long_side)
    transform = similarity(points * size, TEMPLATE)
    box = _box_around(cv2.transform(_CORNERS[None], cv2.invertAffineTransform(transform))[0], size)
    transform[:, 2] += transform[:, :2] @ box[:2]
    return _warped(picture.region(box, long_side), transform)


def similarity(source: Points, target: Points) -> Affine:
    """The turn, scale and shift that bring `source` nearest to `target` in the least-squares sense.

    Umeyama's closed form, without reflection. ValueError if the points say nothing: all in one place, or
    not numbers.
    """
    mean_source, mean_target = source.mean(axis=0), target.mean(axis=0)
    centred = source - mean_source
    spread = float((centred**2).sum() / len(source))
    if not np.isfinite(spread) or spread <= np.finfo(float).eps:
        raise ValueError("The landmarks of a face must be five numbers apart from each other.")
    left, stretch, right = np.linalg.svd((target - mean_target).T @ centred / len(source))
    upright = np.array([1.0, np.sign(np.linalg.det(left @ right))])
    rotation = left @ np.diag(upright) @ right * (float(stretch @ upright) / spread)
    return np.column_stack([rotation, mean_target - rotation @ mean_source])


def _scale(transform: Affine) -> float:
    return float(np.hypot(transform[0, 0], transform[1, 0]))


def _box_around(corners: Points, size: tuple[int, int]) -> PixelBox:
    """The pixels that the sampling reads, one to spare on each side; at least one pixel of the picture."""
    low, high = np.floor(corners.min(axis=0)) - 1, np.ceil(corners.max(axis=0)) + 1
    left, top = (int(v) for v in np.clip(low, 0, np.array(size) - 1))
    right, bottom = (int(v) for v in np.clip(high, (left + 1, top + 1), size))
    return left, top, right, bottom


def _warped(pixels: Pixels, transform: Affine) -> Pixels:
    return cast("Pixels", cv2.warpAffine(pixels, transform, (CROP_SIDE, CROP_SIDE)))
