"""How well the crop of a face serves recognition: what a quality score is made of. Each part is 0..1."""

from __future__ import annotations

from dataclasses import astuple

import cv2
import numpy as np

from intelligence.compute.alignment import CROP_SIDE, TEMPLATE, Points, similarity
from intelligence.compute.base import Landmarks
from intelligence.compute.picture import Pixels

_HALF_SHARP = 100.0
"""The variance of the Laplacian at which a crop counts as half sharp."""

_EYES, _NOSE, _MOUTH = slice(0, 2), 2, slice(3, 5)


def crop_quality(picture_size: tuple[int, int], landmarks: Landmarks, crop: Pixels) -> float:
    """The geometric mean of size, sharpness and pose, 0..1.

    Size is what the crop's side covers in pixels of the full picture, over the crop's own side, at most 1.
    """
    points = np.array(astuple(landmarks), dtype=float) * picture_size
    covered = CROP_SIDE / float(np.hypot(*similarity(points, TEMPLATE)[:, 0]))
    return float(np.cbrt(size(covered) * sharpness(crop) * pose(points)))


def size(side: float) -> float:
    """The side in pixels of the full picture over that of a crop, at most 1."""
    return min(1.0, side / CROP_SIDE)


def sharpness(crop: Pixels) -> float:
    """v / (v + 100), v being the variance of the Laplacian of the grey crop."""
    variance = float(cv2.Laplacian(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
    return variance / (variance + _HALF_SHARP)


def pose(points: Points) -> float:
    """(1 - |a|) (1 - |b|), neither factor below 0: 1 for a face seen from the front, 0 for a profile.

    Five landmarks in pixels, turned so that the eyes lie level. a is how far the nose is off the middle of
    eyes and mouth, over half the distance of the eyes; b is how far it is off its usual height between eyes
    and mouth, over that height. How far the head leans to a side does not count: alignment undoes it.
    """
    level = _eyes_level(points)
    eyes, nose, mouth = level[_EYES].mean(axis=0), level[_NOSE], level[_MOUTH].mean(axis=0)
    half_distance = float(level[1, 0] - level[0, 0]) / 2
    height = float(mouth[1] - eyes[1])
    if half_distance <= 0 or height <= 0:
        return 0.0
    aside = abs(float(nose[0] - (eyes[0] + mouth[0]) / 2)) / half_distance
    off = abs(float(nose[1] - eyes[1]) / height / _USUAL_HEIGHT - 1)
    return max(0.0, 1 - aside) * max(0.0, 1 - off)


def _eyes_level(points: Points) -> Points:
    right_to_left = points[1] - points[0]
    angle = np.arctan2(right_to_left[1], right_to_left[0])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(points @ turn.T)


def _nose_height(points: Points) -> float:
    eyes, mouth = points[_EYES].mean(axis=0)[1], points[_MOUTH].mean(axis=0)[1]
    return float((points[_NOSE][1] - eyes) / (mouth - eyes))


_USUAL_HEIGHT = _nose_height(TEMPLATE)
"""Of the nose, from the eyes (0) to the mouth (1)."""
