"""What tests of the client of the compute service have in common."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from io import BytesIO

from PIL import Image

from intelligence.compute.base import (
    JobReport,
    JobState,
)
from intelligence.compute.remote import RemoteComputeClient
from intelligence.vocabulary import TaskType

CLIP = TaskType.CLIP_EMBEDDING
MakeClient = Callable[..., RemoteComputeClient]


def png(size: tuple[int, int]) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", size).save(buffer, "PNG")
    return buffer.getvalue()


def huge_png() -> bytes:
    """Says that it is 100,000 pixels wide and high."""
    header = b"IHDR" + (100_000).to_bytes(4) * 2 + b"\x08\x02\x00\x00\x00"
    return png((1, 1)).replace(png((1, 1))[12:33], header + zlib.crc32(header).to_bytes(4))


def reason(report: JobReport) -> str:
    """Of a failure that another try would not change."""
    assert report.state is JobState.FAILED
    assert report.permanent
    return report.error
