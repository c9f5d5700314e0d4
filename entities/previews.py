"""Small pictures of images and films, made when first asked for. Losing them loses nothing."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from PIL import Image

from entities.container_types import ContainerClaim
from entities.images import MetadataError, read_reduced
from entities.media_types import ImageClaim, claim_of, read_head
from entities.storage import disk_full_explained
from entities.video import Sheet, UnreadableContainerError, draw_contact_sheet

PREVIEW_SIZE = (256, 1024)
"""At most. The width is the contract with clients; the height keeps a long strip of a picture small too."""

SHEET = Sheet(rows=4, columns=4, within=PREVIEW_SIZE)
"""How a film is shown."""

MAX_PROFILE_BYTES = 64 * 1024
"""Of a colour profile. A photo's has a few kilobytes; a printer's has more."""

_MD5 = re.compile(r"[0-9a-f]{32}")
_PROFILE_SPACES = {"L": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB "}
"""By mode, what an ICC profile is of, which it says in its bytes 16 to 19."""


class PreviewUnavailableError(Exception):
    """There can be no preview of this file; the message says why."""


class PreviewService:
    def __init__(self, media_root: Path, *, max_pixels: int) -> None:
        self._folder = media_root / "previews"
        self._max_pixels = max_pixels

    def preview_path(self, md5: str) -> Path:
        if not _MD5.fullmatch(md5):
            raise ValueError(f"{md5!r} is not the MD5 of a file")
        return self._folder / md5[:2] / md5[2:4] / f"{md5}.png"

    def ensure(self, source: Path, md5: str, type: str) -> Path:
        """Where the preview is; it is made if it is not there yet. Two who make it at once do no harm.

        Raises PreviewUnavailableError, StorageFullError, or FileNotFoundError if there is no source.
        """
        path = self.preview_path(md5)
        if not path.exists():
            with disk_full_explained():
                _write_png(self._draw(source, type), path)
        return path

    def remove(self, md5: str) -> None:
        self.preview_path(md5).unlink(missing_ok=True)

    def _draw(self, source: Path, type: str) -> Image.Image:
        try:
            match claim_of(read_head(source)):
                case ImageClaim() as claim if type == "image":
                    return read_reduced(source, claim, within=PREVIEW_SIZE, max_pixels=self._max_pixels)
                case ContainerClaim() as claim if type == "video":
                    return draw_contact_sheet(source, claim, SHEET)
        except (MetadataError, UnreadableContainerError) as error:
            raise PreviewUnavailableError(f"The {type} cannot be decoded: {error}") from error
        raise PreviewUnavailableError("Only images and videos that can be decoded have previews.")


def _write_png(image: Image.Image, path: Path) -> None:
    """Under a name of its own, then renamed: what `path` names is whole, whoever else writes and whenever
    the power fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            image.save(file, "PNG", icc_profile=_profile(image))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _profile(image: Image.Image) -> bytes | None:
    """Of all that a camera writes into a file, only the colours are passed on: no place, no owner."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or len(profile) > MAX_PROFILE_BYTES:
        return None
    return profile if profile[16:20] == _PROFILE_SPACES.get(image.mode) else None
