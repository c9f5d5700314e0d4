from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from intelligence.compute.base import Vector
from intelligence.compute.baseline.descriptors import (
    dct_descriptor,
    dct_gist_descriptor,
    gist_descriptor,
)
from intelligence.compute.baseline.gist_mean import GIST_MEAN
from intelligence.compute.picture import Picture
from intelligence.compute.validation import check_vector
from tests.intelligence.compute.pictures import OpenPicture

Describe = Callable[[Picture], Vector]

DESCRIPTORS = [
    pytest.param(dct_descriptor, 384, id="dct"),
    pytest.param(dct_gist_descriptor, 512, id="dct-gist"),
]


def halved(image: Image.Image) -> Image.Image:
    return image.resize((image.width // 2, image.height // 2))


def saved_poorly(image: Image.Image) -> Image.Image:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=30)
    return Image.open(buffer).convert("RGB")


def cropped(image: Image.Image) -> Image.Image:
    return ImageOps.crop(image, round(min(image.size) * 0.05))


def brightened(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.25)


@pytest.fixture(scope="session")
def images(photos: dict[str, Path]) -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in photos.values()]


@pytest.mark.parametrize(("describe", "dimension"), DESCRIPTORS)
@pytest.mark.parametrize("change", [halved, saved_poorly, cropped, brightened])
def test_changed_photo_is_nearest_to_its_original(
    open_picture: OpenPicture,
    images: list[Image.Image],
    describe: Describe,
    dimension: int,
    change: Callable[[Image.Image], Image.Image],
) -> None:
    originals = np.stack([describe(open_picture(image)) for image in images])
    changed = np.stack([describe(open_picture(change(image))) for image in images])
    nearest = (changed @ originals.T).argmax(axis=1)
    assert nearest.tolist() == list(range(len(images)))


@pytest.mark.parametrize(("describe", "dimension"), DESCRIPTORS)
def test_unlike_photos_lie_apart(
    open_picture: OpenPicture, images: list[Image.Image], describe: Describe, dimension: int
) -> None:
    vectors = np.stack([describe(open_picture(image)) for image in images])
    likeness = vectors @ vectors.T - 2 * np.eye(len(images))
    assert np.median(likeness.max(axis=1)) < 0.4


@pytest.mark.parametrize(("describe", "dimension"), DESCRIPTORS)
@pytest.mark.parametrize("colour", ["black", "white", "gray", "red"])
@pytest.mark.parametrize("size", [(1, 1), (640, 480), (1, 3000)])
def test_uniform_picture_has_a_vector_like_any_other(
    open_picture: OpenPicture, describe: Describe, dimension: int, colour: str, size: tuple[int, int]
) -> None:
    vector = describe(open_picture(Image.new("RGB", size, colour)))
    check_vector(vector, dimension=dimension)
    assert np.array_equal(vector, describe(open_picture(Image.new("RGB", size, colour))))


def views(image: Image.Image) -> list[Image.Image]:
    """Whole, mirrored, and its four quarters."""
    width, height = image.width // 2, image.height // 2
    quarters = [
        image.crop((left, top, left + width, top + height)) for left in (0, width) for top in (0, height)
    ]
    return [image, ImageOps.mirror(image), *quarters]


def test_gist_mean_is_that_of_the_photographs(open_picture: OpenPicture, images: list[Image.Image]) -> None:
    gists = [gist_descriptor(open_picture(view)) for image in images for view in views(image)]
    assert np.allclose(np.mean(gists, axis=0), np.array(GIST_MEAN).ravel(), atol=1e-3)
