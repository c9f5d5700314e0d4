"""Pictures for tests, made on the spot; needs no Django."""

from __future__ import annotations

import io
import random

from PIL import Image


def jpeg(seed: int = 0, *, size: tuple[int, int] = (64, 48)) -> bytes:
    """A photo unlike that of any other seed."""
    noise = Image.frombytes("RGB", (8, 6), random.Random(seed).randbytes(8 * 6 * 3))
    buffer = io.BytesIO()
    noise.resize(size).save(buffer, "JPEG", comment=str(seed).encode())
    return buffer.getvalue()


def painted(colour: str, *, size: tuple[int, int] = (64, 48)) -> bytes:
    """The same colour all over, without loss."""
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()
