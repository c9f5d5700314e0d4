from __future__ import annotations

from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from intelligence.compute.base import ComputeError
from intelligence.compute.decoding import decode

RED = (255, 0, 0)


def refusal(path: Path, max_pixels: int = 1_000_000) -> ComputeError:
    with pytest.raises(ComputeError) as caught:
        decode(path, max_pixels=max_pixels, long_side=1024)
    assert str(path.parent) not in str(caught.value)
    return caught.value


def decoded(path: Path) -> Image.Image:
    image = decode(path, max_pixels=1_000_000, long_side=1024).image
    assert image.mode == "RGB"
    return image


def encoded(image: Image.Image, format_: str) -> bytes:
    buffer = BytesIO()
    image.save(buffer, format_)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "format_", ["AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP"]
)
def test_formats_decode_to_rgb(tmp_path: Path, format_: str) -> None:
    (tmp_path / "image").write_bytes(encoded(Image.new("RGB", (64, 48), (200, 40, 90)), format_))
    image = decoded(tmp_path / "image")
    assert image.size == (64, 48)
    assert np.abs(np.asarray(image).astype(int) - (200, 40, 90)).max() <= 6


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "CMYK", "YCbCr", "RGBA"])
def test_modes_keep_black_and_white(mode: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 8), "white")
    image.paste("black", (0, 0, 8, 8))
    image.convert(mode).save(tmp_path / "image", "JPEG" if mode == "YCbCr" else "TIFF")
    pixels = np.asarray(decoded(tmp_path / "image"))
    assert pixels[4, 2].max() <= 2
    assert pixels[4, 13].min() >= 253


COLOURS = [[250, 10, 20], [20, 240, 30], [30, 20, 230]]


def test_cmyk_of_a_printed_photo_keeps_its_colours(tmp_path: Path) -> None:
    """A JPEG of four colours is stored with all of them inverted."""
    image = Image.fromarray(np.repeat(np.array([COLOURS], np.uint8), 16, axis=0).repeat(16, axis=1))
    image.convert("CMYK").save(tmp_path / "image.jpg", quality=100, subsampling=0)
    pixels = np.asarray(decoded(tmp_path / "image.jpg")).astype(int)
    assert np.abs(pixels[8, 8::16] - COLOURS).max() <= 12


def test_sixteen_bits_a_colour_keep_their_colours(tmp_path: Path) -> None:
    deep = np.array([COLOURS], np.uint16) * 257
    assert cv2.imwrite(str(tmp_path / "image.png"), np.ascontiguousarray(deep[:, :, ::-1]))
    assert np.asarray(decoded(tmp_path / "image.png")).tolist() == [COLOURS]


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (2, 1), (*RED, 255))
    image.putpixel((1, 0), (*RED, 0))
    image.save(tmp_path / "image.png")
    assert np.asarray(decoded(tmp_path / "image.png")).tolist() == [[list(RED), [255, 255, 255]]]


def test_transparent_colour_of_a_palette_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([0, 0, 0, *RED])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "image.png", transparency=0)
    assert np.asarray(decoded(tmp_path / "image.png")).tolist() == [[[255, 255, 255], list(RED)]]


@pytest.mark.parametrize(
    ("values", "suffix"),
    [
        (np.array([[0, 32_768, 65_535]], dtype=np.uint16), "png"),
        (np.array([[0, 32_768, 65_535]], dtype=np.int32), "tiff"),
        (np.array([[0, 128, 255]], dtype=np.int32), "tiff"),
        (np.array([[0, 0.5, 1]], dtype=np.float32), "tiff"),
        (np.array([[np.nan, 1e6, 2e6]], dtype=np.float32), "tiff"),
    ],
    ids=["I;16", "I of 16 bits", "I of 8 bits", "F of 0..1", "F of any range"],
)
def test_deep_greyscale_is_scaled_to_eight_bits(
    tmp_path: Path, values: np.ndarray[tuple[int, int], np.dtype[np.generic]], suffix: str
) -> None:
    path = tmp_path / f"image.{suffix}"
    Image.fromarray(values).save(path)
    grey = np.asarray(decoded(path))[0, :, 0]
    assert np.abs(grey.astype(int) - (0, 128, 255)).max() <= 1


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "image.gif", save_all=True, append_images=frames[1:])
    assert decoded(tmp_path / "image.gif").getpixel((0, 0)) == RED


def test_jpeg_is_decoded_no_larger_than_needed(tmp_path: Path) -> None:
    Image.new("RGB", (4096, 2048)).save(tmp_path / "image.jpg")
    result = decode(tmp_path / "image.jpg", max_pixels=10_000_000, long_side=1000)
    assert result.image.size == (1024, 512)
    assert result.full_size == (4096, 2048)


def test_too_many_pixels_are_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Image.new("1", (2000, 2000)).save(path)
    path.write_bytes(path.read_bytes()[:60])  # the header is all there is
    error = refusal(path, max_pixels=3_999_999)
    assert str(error) == "The image has 4,000,000 pixels; at most 3,999,999 are looked at."
    assert error.permanent


def test_what_pillow_itself_finds_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (100, 100)).save(tmp_path / "image.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    error = refusal(tmp_path / "image.png")
    assert "more pixels" in str(error)
    assert error.permanent


@pytest.mark.parametrize("format_", ["AVIF", "GIF", "HEIF", "JPEG", "PNG", "TIFF", "WEBP"])
def test_truncated_image_is_refused(tmp_path: Path, format_: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), format_)
    (tmp_path / "image").write_bytes(data[: len(data) * 2 // 3])
    error = refusal(tmp_path / "image")
    assert error.permanent
    assert "image" in str(error)


@pytest.mark.parametrize(
    "content", [b"", b"no image at all", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "image").write_bytes(content)
    error = refusal(tmp_path / "image")
    assert error.permanent
    assert "not an image" in str(error)


def test_missing_file_is_said_so_and_final(tmp_path: Path) -> None:
    error = refusal(tmp_path / "gone.jpg")
    assert error.permanent
    assert "no longer there" in str(error)


def test_trouble_with_the_disk_passes(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    error = refusal(tmp_path / "folder")
    assert not error.permanent
    assert "could not be read" in str(error)
