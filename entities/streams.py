"""Where the streams of a film lie. Nothing makes any yet; those of an older store are served and removed."""

from __future__ import annotations

from pathlib import PurePosixPath

MANIFEST = "adaptive.m3u8"
MIME_TYPES = {".m3u8": "application/vnd.apple.mpegurl", ".ts": "video/mp2t"}


def folder_of(entity_id: int, mime_type: str) -> str:
    """Relative to the media folder."""
    return str(PurePosixPath("streams", mime_type, f"media_{entity_id}"))
