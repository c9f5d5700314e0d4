"""Decoding the images of strangers, within bounds. Whatever is wrong with the bytes is a MetadataError."""

from __future__ import annotations

import errno
import mmap
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from PIL import ExifTags, Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile
from pillow_heif import HeifImageFile

from entities.capture_dates import EXIF_TAGS, exif_capture_date
from entities.media_types import ImageClaim, ImageFormat
from entities.sizes import Size, fit, turned

# Pillow warns of what it can live with, such as a broken EXIF tag. Here decoding is the judge, so that helps
# nobody. Once, for the whole process: to switch warnings off for a while is not safe with threads.
warnings.filterwarnings("ignore", module=r"PIL\.")

MAX_IMAGE_BYTES = 1024**3
"""Of a file: several decoders hold the whole of it in memory."""

MAX_JPEG_SEGMENTS = 1000
"""Of a JPEG, from its first scan on; twenty are many. Each of them can be a scan, a hundred bytes long, that
costs a pass over all pixels."""

# The classes and not Image.open(), which would make two pictures in one JPEG a format of its own, and whose
# idea of too large is set for the whole process.
_DECODERS: dict[ImageFormat, type[ImageFile]] = {
    "AVIF": AvifImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "HEIF": HeifImageFile,
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "TIFF": TiffImageFile,
    "WEBP": WebPImageFile,
}

_DAMAGED = (
    AssertionError,
    EOFError,
    LookupError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What the decoders raise for bytes that are cut short or made of noise."""

_BAD_POSITION = {errno.EINVAL, errno.EOVERFLOW}
"""What the file system answers when damaged bytes make a decoder look before the start of the file."""


class MetadataError(ValueError):
    """The file cannot be taken in; the message says why, to the person who sent it."""


class UndecodableImageError(MetadataError):
    pass


class ImageTooLargeError(MetadataError):
    pass


@dataclass(frozen=True)
class ImageFacts:
    size: Size
    """Upright."""
    taken_at: datetime | None


def read_image(path: Path, claim: ImageClaim, *, max_pixels: int) -> ImageFacts:
    """Decodes all of the first frame, which is the proof that it is an image."""
    with _opened(path, claim, max_pixels) as image:
        size = image.size
        if isinstance(image, JpegImageFile):
            # An eighth of the size, without colours, for half the time; every byte is read still.
            image.draft("L", (1, 1))
            image.load()
        else:
            image.load()
            size = image.size
        exif = _exif(image)
        return ImageFacts(
            size=turned(size, sideways=_orientation(exif) in _SIDEWAYS), taken_at=exif_capture_date(exif)
        )


def read_reduced(path: Path, claim: ImageClaim, *, within: Size, max_pixels: int) -> Image.Image:
    """The first frame, upright, in proportion, never enlarged, in mode L, RGB or RGBA."""
    with _opened(path, claim, max_pixels) as image:
        if isinstance(image, JpegImageFile):
            orientation = _orientation(_exif(image))
            target = _stored_target(image.size, orientation, within)
            image.draft(None, (2 * target[0], 2 * target[1]))
            image.load()
        else:
            image.load()
            orientation = _orientation(_exif(image))
            target = _stored_target(image.size, orientation, within)
        reduced = _displayable(image).resize(target, Image.Resampling.LANCZOS, reducing_gap=2.0)
        turn = _TURNS.get(orientation)
        return reduced if turn is None else reduced.transpose(turn)


# --- Opening ----------------------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path, claim: ImageClaim, max_pixels: int) -> Iterator[ImageFile]:
    """What a decoder makes of the bytes, here or in the body, is raised as MetadataError."""
    name = claim.format
    try:
        with path.open("rb") as file:
            _check_bytes(path.stat().st_size)
            with _DECODERS[name](file) as image:
                _check_pixels(image.size, max_pixels)
                if isinstance(image, JpegImageFile):
                    _check_segments(file)
                yield image
    except MetadataError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(f"The {name} image is too large: {error}") from error
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno not in {None, *_BAD_POSITION}:
            raise  # of the disk, not of the bytes
        raise _refusal(name, error) from error


def _check_bytes(size: int) -> None:
    if size > MAX_IMAGE_BYTES:
        raise ImageTooLargeError(f"The image file has {size:,} bytes; the limit is {MAX_IMAGE_BYTES:,}.")


def _check_pixels(size: Size, max_pixels: int) -> None:
    pixels = size[0] * size[1]
    if pixels > max_pixels:
        raise ImageTooLargeError(
            f"The image has {pixels:,} pixels ({size[0]} x {size[1]}); the limit is {max_pixels:,}."
        )


_JPEG_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")
"""What ends the compressed data of a scan: in it, only zeros and restart marks come after an FF."""


def _check_segments(file: BinaryIO) -> None:
    """Of the JPEG whose first scan begins here."""
    position = file.tell()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for _ in range(MAX_JPEG_SEGMENTS):
            marker = _JPEG_MARKER.search(data, position)
            if marker is None or marker[0] == b"\xff\xd9":
                return
            position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    raise ImageTooLargeError(f"The JPEG image has more parts than the limit of {MAX_JPEG_SEGMENTS}.")


def _refusal(name: str, error: Exception) -> MetadataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    if re.search(r"too large|too much memory", reason, re.IGNORECASE):  # PNG's texts and colour profiles
        return ImageTooLargeError(f"What the {name} image unpacks to is over the limit: {reason}")
    return UndecodableImageError(
        f"The file begins like a {name} image but cannot be decoded: it is damaged or incomplete ({reason})."
    )


# --- EXIF -------------------------------------------------------------------------------------------------

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation: what turns the stored picture upright."""

_SIDEWAYS = range(5, 9)


_WANTED_TAGS = (ExifTags.Base.Orientation, *EXIF_TAGS)


def _exif(image: ImageFile) -> dict[int, object]:
    """The wanted tags, as far as they can be read; broken ones leave the picture as whole as it is.

    To be called after load(), but for JPEG: a PNG may be loaded by this, and loading turns a TIFF upright.
    """
    found: dict[int, object] = {}
    with suppress(*_DAMAGED):
        exif = image.getexif()
        for directory in (exif, exif.get_ifd(ExifTags.IFD.Exif)):
            found |= {tag: directory[tag] for tag in _WANTED_TAGS if tag in directory and tag not in found}
    return found


def _orientation(exif: Mapping[int, object]) -> int:
    value = exif.get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) and value in _TURNS else 1


def _stored_target(size: Size, orientation: int, within: Size) -> Size:
    sideways = orientation in _SIDEWAYS
    return turned(fit(turned(size, sideways=sideways), within), sideways=sideways)


# --- Modes ------------------------------------------------------------------------------------------------

_WHITES = {"F": (1, 255, 65_535), "I": (255, 65_535)}
"""Greyscale of unstated range: white is the first of these that no pixel exceeds."""


def _displayable(image: Image.Image) -> Image.Image:
    if image.mode in _WHITES or image.mode.startswith("I;16"):
        return _eight_bit_grey(image)
    if image.has_transparency_data:
        return image.convert("RGBA")
    if image.mode in {"1", "L"}:
        return image.convert("L")
    return image.convert("RGB")


def _eight_bit_grey(image: Image.Image) -> Image.Image:
    whites = _WHITES.get(image.mode, (65_535,))
    grey = image if image.mode in _WHITES else image.convert("I")
    brightest = grey.getextrema()[1]
    assert isinstance(brightest, int | float)  # one band
    white = next((white for white in whites if brightest <= white), brightest)
    return grey.point(lambda value: value * (255 / white) + 0).convert("L")
