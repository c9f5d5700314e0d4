from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from intelligence.compute.alignment import CROP_SIDE, TEMPLATE
from intelligence.compute.base import Landmarks, Point
from intelligence.compute.crop_quality import crop_quality, pose, size

NOISE = np.random.default_rng(0).integers(0, 256, (CROP_SIDE, CROP_SIDE, 3), dtype=np.uint8)


def turned(degrees: float) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return np.asarray(TEMPLATE @ turn)


@pytest.mark.parametrize("degrees", [0, 30, 90, 180, -100])
def test_frontal_face_has_full_pose_however_it_leans(degrees: float) -> None:
    assert pose(turned(degrees) * 3 + 100) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("shift", [(8, 0), (-8, 0), (0, 8), (0, -8)])
def test_pose_falls_as_the_nose_leaves_the_middle(shift: tuple[int, int]) -> None:
    half, whole = TEMPLATE.copy(), TEMPLATE.copy()
    half[2] += np.array(shift) / 2
    whole[2] += shift
    assert 0.2 < pose(whole) < pose(half) < 0.95


def test_profile_and_nonsense_have_no_pose() -> None:
    profile, upside_down = TEMPLATE.copy(), TEMPLATE.copy()
    profile[2, 0] = profile[0, 0] - 5
    upside_down[3:] -= (0, 90)
    assert pose(profile) == pose(upside_down) == 0


def at(scale: float) -> Landmarks:
    """A face that a crop would shrink by this scale, in a picture of 1000 x 500."""
    fractions: list[Point] = [(float(x) / 1000, float(y) / 500) for x, y in TEMPLATE * scale]
    return Landmarks(*fractions)


def test_size_is_that_in_pixels_of_the_full_picture() -> None:
    assert (size(56), size(112), size(500)) == (0.5, 1, 1)
    full = crop_quality((1000, 500), at(1), NOISE)
    assert crop_quality((1000, 500), at(3), NOISE) == pytest.approx(full)
    assert crop_quality((1000, 500), at(0.5), NOISE) == pytest.approx(full / np.cbrt(2), rel=1e-3)


def test_flat_crop_is_worth_nothing() -> None:
    assert crop_quality((1000, 500), at(1), np.asarray(Image.new("RGB", (112, 112), "tan"))) == 0
