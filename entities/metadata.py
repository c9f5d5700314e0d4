"""What a file is, judged by its content alone: a name or a stated content type is never asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from entities.container_types import ContainerClaim
from entities.images import ImageTooLargeError, MetadataError, UndecodableImageError, read_image
from entities.media_types import (
    ImageClaim,
    MediaType,
    claim_of,
    extension_of,
    media_type_of,
    other_claim,
    read_head,
)
from entities.video import ContainerFacts, UnreadableContainerError, read_container

__all__ = ["ImageTooLargeError", "MediaMetadata", "MetadataError", "UndecodableImageError", "describe"]


@dataclass(frozen=True)
class MediaMetadata:
    mime_type: str
    width: int | None = None
    """Pixels, of the upright picture."""
    height: int | None = None
    duration: float | None = None
    """Seconds."""
    create_date: datetime | None = None
    """When it was captured, in UTC. A date in EXIF without an offset is taken to be in UTC."""

    @property
    def type(self) -> MediaType:
        return media_type_of(self.mime_type)

    @property
    def extension(self) -> str:
        """Without the dot."""
        return extension_of(self.mime_type)


def describe(path: Path, *, max_pixels: int) -> MediaMetadata:
    """What begins like an image must decode like one, or it is UndecodableImageError or ImageTooLargeError.

    Nothing else is refused: a film that cannot be read has the type it claims, without a size or a duration,
    and what is not recognised is a file of the type application/octet-stream.
    """
    head = read_head(path)
    match claim_of(head):
        case ImageClaim() as claim:
            return _describe_image(path, claim, max_pixels)
        case ContainerClaim() as claim:
            return _describe_container(path, claim, head)
        case claim:
            return MediaMetadata(claim.mime_type)


def _describe_image(path: Path, claim: ImageClaim, max_pixels: int) -> MediaMetadata:
    facts = read_image(path, claim, max_pixels=max_pixels)
    width, height = facts.size
    return MediaMetadata(claim.mime_type, width=width, height=height, create_date=facts.taken_at)


def _describe_container(path: Path, claim: ContainerClaim, head: bytes) -> MediaMetadata:
    try:
        facts = read_container(path, claim)
    except UnreadableContainerError:
        return MediaMetadata(claim.mime_type if claim.certain else other_claim(head).mime_type)
    width, height = facts.size or (None, None)
    return MediaMetadata(
        _mime_type(claim, facts),
        width=width,
        height=height,
        duration=facts.duration,
        create_date=facts.taken_at,
    )


def _mime_type(claim: ContainerClaim, facts: ContainerFacts) -> str:
    if facts.has_video:
        return claim.with_video or claim.mime_type
    if facts.has_audio:
        return claim.without_video or claim.mime_type
    return claim.mime_type
