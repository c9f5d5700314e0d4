from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from intelligence.compute.picture import Picture, encode_png
from tests.intelligence.compute.pictures import OpenPicture

HOW_IT_IS_STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def upright_image() -> Image.Image:
    """Four unlike quarters; the sides are unlike too."""
    image = Image.new("RGB", (96, 64), "red")
    image.paste("lime", (48, 0, 96, 32))
    image.paste("blue", (0, 32, 48, 64))
    image.paste("white", (48, 32, 96, 64))
    return image


def stored(path: Path, orientation: int, image: Image.Image | None = None) -> Path:
    method = HOW_IT_IS_STORED[orientation]
    image = image or upright_image()
    image = image if method is None else image.transpose(method)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(path, exif=exif.tobytes(), quality=100, subsampling=0)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp", "heic"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_is_upright(tmp_path: Path, open_picture: OpenPicture, orientation: int, suffix: str) -> None:
    picture = open_picture(stored(tmp_path / f"image.{suffix}", orientation))
    assert picture.size == (96, 64)
    difference = np.abs(picture.within(1024).astype(int) - np.asarray(upright_image()))
    assert np.median(difference, axis=(0, 1)).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_region_is_that_of_the_upright_picture(
    tmp_path: Path, open_picture: OpenPicture, orientation: int
) -> None:
    picture = open_picture(stored(tmp_path / "image.png", orientation))
    region = picture.region((40, 8, 90, 30), 96)
    assert np.array_equal(region, np.asarray(upright_image())[8:30, 40:90])


@pytest.mark.parametrize("orientation", [0, 9])
def test_impossible_orientation_is_none(tmp_path: Path, open_picture: OpenPicture, orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    upright_image().save(tmp_path / "image.png", exif=exif)
    assert np.array_equal(open_picture(tmp_path / "image.png").within(96), np.asarray(upright_image()))


def test_scaled_down_in_proportion_never_up(open_picture: OpenPicture) -> None:
    picture = open_picture(upright_image())
    assert picture.within(48).shape == (32, 48, 3)
    assert picture.within(5000).shape == (64, 96, 3)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_extreme_shapes_never_become_empty(open_picture: OpenPicture, size: tuple[int, int]) -> None:
    pixels = open_picture(Image.new("RGB", size)).within(256)
    assert min(pixels.shape[:2]) == 1
    assert pixels.flags.c_contiguous


def test_decodes_once_unless_more_detail_is_asked_for(tmp_path: Path, open_picture: OpenPicture) -> None:
    path = tmp_path / "image.jpg"
    upright_image().resize((4608, 3072)).save(path)
    picture = open_picture(path)
    path.rename(tmp_path / "away.jpg")
    picture.within(1024)
    picture.within(256)
    (tmp_path / "away.jpg").rename(path)
    assert picture.region((0, 0, 40, 30), 4608).shape == (30, 40, 3)


def test_reduced_decoding_shows_the_same(tmp_path: Path, open_picture: OpenPicture) -> None:
    image = upright_image().resize((4608, 3072), Image.Resampling.NEAREST)
    image.save(tmp_path / "image.jpg", quality=95)
    reduced = open_picture(tmp_path / "image.jpg").region((0, 0, 512, 340), 1024)
    whole = open_picture(image).region((0, 0, 512, 340), 1024)
    assert np.abs(reduced.astype(int) - whole).mean() < 1


def test_region_has_the_detail_of_the_full_picture(tmp_path: Path, open_picture: OpenPicture) -> None:
    board = np.kron(np.indices((1500, 1500)).sum(axis=0) % 2, np.ones((2, 2))) * 255
    Image.fromarray(board.astype(np.uint8)).save(tmp_path / "image.jpg", quality=95)
    picture = open_picture(tmp_path / "image.jpg")
    assert picture.region((0, 0, 50, 50), 1024).std() < 10
    assert picture.region((0, 0, 50, 50), 3000).std() > 120


def a_large_photo() -> Image.Image:
    """Of odd sides, with edges and fine detail."""
    noise = np.random.default_rng(0).integers(0, 256, (75, 100, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((1603, 1201), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_is_made_of_a_half_is_as_of_the_whole(
    tmp_path: Path, open_picture: OpenPicture, orientation: int
) -> None:
    """Which the model's library would resample: within a grey level on the mean, a few at the most."""
    whole = a_large_photo()
    picture = open_picture(stored(tmp_path / "image.png", orientation, whole))
    box = (10, 20, 234, 224)
    for size in ((299, 224), (340, 255), (1000, 749)):
        made = picture.resampled(size, box, Image.Resampling.BICUBIC)
        reference = np.asarray(whole.resize(size, Image.Resampling.BICUBIC).crop(box))
        difference = np.abs(made.astype(int) - reference)
        assert difference.mean() < 0.5
        assert difference.max() <= 8


@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_at_least_so_large_and_less_than_twice(
    tmp_path: Path, open_picture: OpenPicture, orientation: int
) -> None:
    whole = a_large_photo().crop((0, 0, 1600, 1200))
    picture = open_picture(stored(tmp_path / "image.png", orientation, whole))
    for side, smaller in ((1024, 1), (801, 1), (800, 2), (256, 4), (5000, 1)):
        pixels, reference = picture.at_least(side), np.asarray(whole.reduce(smaller))
        assert pixels.shape == reference.shape
        assert np.abs(pixels.astype(int) - reference).max() <= 1


def test_png_is_without_loss(tmp_path: Path) -> None:
    pixels = np.asarray(upright_image())
    (tmp_path / "image.png").write_bytes(encode_png(pixels))
    assert np.array_equal(Picture(tmp_path / "image.png", max_pixels=10_000).within(96), pixels)
