from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from intelligence.compute.alignment import CROP_SIDE, TEMPLATE, aligned_crop, similarity
from intelligence.compute.base import Landmarks, Point
from tests.intelligence.compute.pictures import OpenPicture

COLOURS = ("red", "lime", "blue", "yellow", "magenta")


@pytest.mark.parametrize("seed", range(20))
def test_similarity_agrees_with_opencv(seed: int) -> None:
    rng = np.random.default_rng(seed)
    angle, scale = rng.uniform(-np.pi, np.pi), rng.uniform(0.1, 10)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = TEMPLATE @ turn.T + rng.uniform(-500, 500, 2) + rng.normal(0, scale, TEMPLATE.shape)
    expected, _ = cv2.estimateAffinePartial2D(
        source, TEMPLATE, ransacReprojThreshold=1000, refineIters=100, confidence=0.999999
    )
    assert np.allclose(similarity(source, TEMPLATE), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_similarity_recovers_an_exact_one() -> None:
    turn = 2.5 * np.array([[0.6, -0.8], [0.8, 0.6]])
    assert np.allclose(similarity(TEMPLATE, TEMPLATE @ turn.T + (7, -3)), np.column_stack([turn, (7, -3)]))


def test_similarity_never_mirrors() -> None:
    mirrored = TEMPLATE * (-1, 1)
    assert np.linalg.det(similarity(mirrored, TEMPLATE)[:, :2]) > 0


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((5, 2), 3.3), np.full((5, 2), np.nan)])
def test_points_that_say_nothing_are_refused(
    points: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> None:
    with pytest.raises(ValueError, match="five numbers apart"):
        similarity(points, TEMPLATE)


def dotted(size: int, turned_by: float) -> tuple[Image.Image, Landmarks]:
    """A picture with a dot of its own colour at each landmark of a face a third as wide."""
    angle, scale = np.radians(turned_by), size / 3 / CROP_SIDE
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (TEMPLATE - CROP_SIDE / 2) @ turn.T + size / 2
    image = Image.new("RGB", (size, size), "black")
    for (x, y), colour in zip(points, COLOURS, strict=True):
        radius = round(4 * scale) + 1
        image.paste(colour, (round(x) - radius, round(y) - radius, round(x) + radius, round(y) + radius))
    fractions: list[Point] = [(float(x), float(y)) for x, y in points / size]
    return image, Landmarks(*fractions)


@pytest.mark.parametrize("size", [150, 336, 3000])
@pytest.mark.parametrize("turned_by", [0, 30, -100])
def test_landmarks_come_to_lie_on_the_template(
    open_picture: OpenPicture, size: int, turned_by: float
) -> None:
    image, landmarks = dotted(size, turned_by)
    crop = aligned_crop(open_picture(image), landmarks)
    assert crop.shape == (CROP_SIDE, CROP_SIDE, 3)
    for (x, y), colour in zip(TEMPLATE, COLOURS, strict=True):
        expected = np.array(Image.new("RGB", (1, 1), colour).getpixel((0, 0)))
        assert np.abs(crop[round(y), round(x)].astype(int) - expected).max() < 60


def test_face_at_the_edge_is_filled_with_black(open_picture: OpenPicture) -> None:
    corner = Landmarks((0, 0), (0.2, 0), (0.1, 0.1), (0, 0.2), (0.2, 0.2))
    crop = aligned_crop(open_picture(Image.new("RGB", (300, 300), "white")), corner)
    assert crop[5, 5].max() == 0
    assert crop[80, 60].min() == 255


def test_large_face_is_averaged_not_sampled(open_picture: OpenPicture) -> None:
    stripes = np.zeros((2400, 2400, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    _, landmarks = dotted(2400, 0)
    crop = aligned_crop(open_picture(Image.fromarray(stripes)), landmarks)
    assert np.abs(crop.astype(int) - 128).max() < 30
