"""From an image file to RGB, whatever its format and mode; what cannot be looked at is refused in words."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import ExifTags, Image, UnidentifiedImageError

from intelligence.compute.base import ComputeError

pillow_heif.register_heif_opener()

Size = tuple[int, int]
"""Width, height."""

FORMATS = (
    "AVIF",
    "BMP",
    "DIB",
    "GIF",
    "HEIF",
    "ICO",
    "JPEG",
    "JPEG2000",
    "PCX",
    "PNG",
    "PPM",
    "PSD",
    "QOI",
    "SGI",
    "TGA",
    "TIFF",
    "WEBP",
)
"""Not all that Pillow knows: some of its decoders (EPS) run other programs on the file."""

_DAMAGED = (
    EOFError,
    IndexError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
)
"""What the decoders raise for files that are cut short or made of noise."""

_OF_THE_FILE_ITSELF = (None, errno.EINVAL)
"""An OSError by a decoder has no number, or that of a seek to nowhere; all others are of the disk."""

_WHITES = {"F": (1, 255, 65_535), "I": (255, 65_535)}
"""Greyscale of unstated range: white is the first of these that no pixel exceeds."""


@dataclass(frozen=True)
class Decoded:
    image: Image.Image
    """RGB, as stored: not turned upright, perhaps reduced."""
    full_size: Size
    """As stored, before any reduction."""
    orientation: int
    """As EXIF numbers it, 1..8."""


def decode(source: Path | BytesIO, *, max_pixels: int, long_side: int) -> Decoded:
    """The first frame, at full size or, where the format allows, reduced to no less than `long_side`.

    Only a JPEG is cheaper to decode reduced; all other formats come whole.
    """
    try:
        return _decode(source, max_pixels, long_side)
    except Image.DecompressionBombError as error:
        raise ComputeError("The image has more pixels than can be looked at.", permanent=True) from error
    except UnidentifiedImageError as error:
        message = "The file is not an image, or of a format that is not supported."
        raise ComputeError(message, permanent=True) from error
    except FileNotFoundError as error:
        raise ComputeError("The image file is no longer there.", permanent=True) from error
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno not in _OF_THE_FILE_ITSELF:
            raise ComputeError(f"The image file could not be read: {error.strerror}.") from error
        raise ComputeError("The image is damaged or cut short.", permanent=True) from error


def _decode(source: Path | BytesIO, max_pixels: int, long_side: int) -> Decoded:
    with Image.open(source, formats=FORMATS) as image:
        full_size = image.size
        _refuse_too_large(full_size, max_pixels)
        image.draft(None, scaled_size(full_size, long_side))
        image.load()
        return Decoded(image=_to_rgb(image), full_size=full_size, orientation=_orientation(image))


def scaled_size(size: Size, long_side: int) -> Size:
    """The size in proportion whose longer side is `long_side`, never enlarged, never empty."""
    scale = min(1.0, long_side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _refuse_too_large(size: Size, max_pixels: int) -> None:
    pixels = size[0] * size[1]
    if pixels > max_pixels:
        message = f"The image has {pixels:,} pixels; at most {max_pixels:,} are looked at."
        raise ComputeError(message, permanent=True)


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _WHITES or image.mode.startswith("I;16"):
        return _eight_bit_grey(image).convert("RGB")
    if image.has_transparency_data:
        return _on_white(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    layer = image.convert("RGBA")
    ground = Image.new("RGB", image.size, "white")
    ground.paste(layer, mask=layer.getchannel("A"))
    return ground


def _eight_bit_grey(image: Image.Image) -> Image.Image:
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    brightest = float(values.max())
    whites = _WHITES.get(image.mode, (65_535,))
    white = next((white for white in whites if brightest <= white), brightest)
    return Image.fromarray(np.clip(np.rint(values * (255 / white)), 0, 255).astype(np.uint8))
