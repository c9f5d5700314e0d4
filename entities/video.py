"""What is in a container of video or audio, asked of FFmpeg in a process of its own (ffmpeg.py)."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

from entities.capture_dates import container_capture_date
from entities.container_types import ContainerClaim
from entities.sizes import Size

MAX_SECONDS = 60
"""For an answer, whatever the file does to FFmpeg. A usual one comes in a tenth of a second."""

_PROJECT = Path(__file__).resolve().parent.parent

logger = logging.getLogger(__name__)


class UnreadableContainerError(Exception):
    """FFmpeg makes nothing of the file."""


@dataclass(frozen=True)
class ContainerFacts:
    has_video: bool
    has_audio: bool
    size: Size | None
    """Of the video, upright."""
    duration: float | None
    """Seconds."""
    taken_at: datetime | None


@dataclass(frozen=True)
class Sheet:
    """Rows and columns of key frames, together no larger than `within`."""

    rows: int
    columns: int
    within: Size


def read_container(path: Path, claim: ContainerClaim) -> ContainerFacts:
    """Raises UnreadableContainerError."""
    facts, _ = _ask(path, claim, sheet=None)
    return ContainerFacts(
        has_video=facts["has_video"],
        has_audio=facts["has_audio"],
        size=None if facts["size"] is None else (facts["size"][0], facts["size"][1]),
        duration=facts["duration"],
        taken_at=container_capture_date(facts["dates"]),
    )


def draw_contact_sheet(path: Path, claim: ContainerClaim, sheet: Sheet) -> Image.Image:
    """In RGB. Raises UnreadableContainerError."""
    facts, pixels = _ask(path, claim, sheet=sheet)
    return Image.frombytes("RGB", tuple(facts["size"]), pixels)


def _ask(path: Path, claim: ContainerClaim, *, sheet: Sheet | None) -> tuple[dict[str, Any], bytes]:
    request = {
        "demuxer": claim.demuxer,
        "certain": claim.certain,
        "sheet": None if sheet is None else asdict(sheet),
    }
    line, _, pixels = _run_ffmpeg(path, json.dumps(request)).partition(b"\n")
    facts: dict[str, Any] = json.loads(line)
    if "error" in facts:
        raise UnreadableContainerError(facts["error"])
    return facts, pixels


def _run_ffmpeg(path: Path, request: str) -> bytes:
    command = [sys.executable, "-m", "entities.ffmpeg", request]
    with path.open("rb") as file:
        try:
            done = subprocess.run(  # noqa: S603  # this program itself, with words of its own
                command, cwd=_PROJECT, stdin=file, capture_output=True, timeout=MAX_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise UnreadableContainerError(f"FFmpeg had not read it after {MAX_SECONDS} s") from error
    if done.returncode != 0:
        reason = done.stderr[-1000:].decode(errors="replace")
        logger.warning("FFmpeg's process ended with %s on %s: %s", done.returncode, path.name, reason)
        raise UnreadableContainerError("FFmpeg failed on it")
    return done.stdout
