"""Small files of all kinds, made when a test asks for them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from io import BytesIO
from math import sin
from pathlib import Path
from typing import Any

import av
import pillow_heif
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image
from PIL.ExifTags import IFD, Base

RED, GREEN, BLUE, WHITE = (200, 20, 20), (20, 160, 20), (20, 20, 200), (250, 250, 250)
CORNERS = (RED, GREEN, BLUE, WHITE)
"""Of `photo`: top left, top right, bottom left, bottom right."""


def photo(width: int = 64, height: int = 48) -> Image.Image:
    """Each quarter in its colour, so that one sees how it is turned."""
    image = Image.new("RGB", (width, height))
    half = (width // 2, height // 2)
    for number, colour in enumerate(CORNERS):
        row, column = divmod(number, 2)
        image.paste(colour, (column * half[0], row * half[1], (column + 1) * half[0], (row + 1) * half[1]))
    return image


def corners(image: Image.Image) -> tuple[tuple[int, int, int], ...]:
    """Which of CORNERS is nearest to the colour in each quarter, in their order."""
    rgb = image.convert("RGB")
    quarters = [(x * rgb.width // 4, y * rgb.height // 4) for y in (1, 3) for x in (1, 3)]
    return tuple(_nearest(rgb.getpixel(quarter)) for quarter in quarters)


def _nearest(colour: Any) -> tuple[int, int, int]:
    return min(CORNERS, key=lambda corner: sum(abs(a - b) for a, b in zip(corner, colour, strict=True)))


def encoded(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = BytesIO()
    if format == "HEIF":
        pillow_heif.from_pillow(image).save(buffer, **options)
    else:
        image.save(buffer, format, **options)
    return buffer.getvalue()


def exif(*, orientation: int | None = None, tags: Mapping[int, Any] | None = None) -> bytes:
    """`tags` go where cameras put them: DateTime and orientation into the first directory, others below."""
    found = Image.Exif()
    if orientation is not None:
        found[Base.Orientation] = orientation
    below = found.get_ifd(IFD.Exif)
    for tag, value in (tags or {}).items():
        (found if tag == Base.DateTime else below)[tag] = value
    return found.tobytes()


def png_header(width: int, height: int) -> bytes:
    """A PNG that states its size and has not one pixel of it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", b"") + png_chunk(b"IEND", b"")
    )


def png_chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def film(
    path: Path,
    *,
    codec: str = "libx264",
    format: str | None = None,
    size: tuple[int, int] = (64, 48),
    frames: int = 50,
    frames_per_key_frame: int = 5,
    rotation: int = 0,
    metadata: Mapping[str, str] | None = None,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Of 25 frames a second. What it shows is `photo`, ever darker."""
    with av.open(path, "w", format=format, options=dict(options or {})) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=25)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = frames_per_key_frame
        if rotation:
            stream.set_display_rotation(rotation)
        picture = photo(*size)
        for number in range(frames):
            shown = picture.point(lambda value, dim=1 - number / frames / 2: value * dim)
            container.mux(stream.encode(video_frame(shown)))
        container.mux(stream.encode(None))
    return path


def video_frame(image: Image.Image) -> VideoFrame:
    return VideoFrame.from_image(image)  # type: ignore[no-untyped-call,no-any-return]  # it has no annotations


def sound(path: Path, *, codec: str, format: str | None = None, rate: int = 48_000) -> Path:
    """One second."""
    samples = (int(20_000 * sin(n / 20)) for n in range(rate))
    frame = AudioFrame(format="s16", layout="mono", samples=rate)
    frame.planes[0].update(b"".join(sample.to_bytes(2, "little", signed=True) for sample in samples))
    frame.sample_rate = rate
    with av.open(path, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, AudioStream)
        stream.layout = "mono"
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
