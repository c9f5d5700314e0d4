"""Files of entities: a row never names one that is not whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Self

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from entities import tallies, trail
from entities.errors import ContentRequiredError
from entities.metadata import MediaMetadata, describe
from entities.models import Entity
from entities.signals import content_stored
from entities.storage import EntityStorageService, IncomingFile


def announce_content(entity: Entity) -> None:
    """In the transaction that gives it to the entity."""
    content_stored.send(Entity, entity_id=entity.pk, md5=entity.md5)
    trail.note("stored", [entity.pk])
    size = float(entity.file_size or 0)
    transaction.on_commit(partial(tallies.add, "upload", entity.type or "", amount=size))


def require_content(incoming: IncomingFile) -> None:
    if incoming.size == 0:
        raise ContentRequiredError("The file is empty.")


@dataclass(frozen=True)
class Content:
    """A received file, looked at, and where it is to stand."""

    storage: EntityStorageService
    incoming: IncomingFile
    media: MediaMetadata
    now: datetime
    file_path: str

    @classmethod
    def of(cls, incoming: IncomingFile, storage: EntityStorageService) -> Self:
        """Raises UndecodableImageError or ImageTooLargeError."""
        media, now = describe(incoming.path, max_pixels=settings.MAX_IMAGE_PIXELS), timezone.now()
        file_path = storage.file_path(incoming.md5, media.extension, now.date())
        return cls(storage, incoming, media, now, file_path)

    def give_to(self, entity: Entity) -> None:
        """Puts the file in place, then fills the row, which is yet to be saved."""
        self.storage.put_in_place(self.incoming, self.file_path)
        entity.md5, entity.file_size = self.incoming.md5, self.incoming.size
        entity.file_path = self.file_path
        media = self.media
        entity.mime_type, entity.type, entity.extension = media.mime_type, media.type, media.extension
        entity.width, entity.height, entity.duration = media.width, media.height, media.duration
        entity.create_date = media.create_date or self.now


def put_back_if_lost(entity: Entity, incoming: IncomingFile, storage: EntityStorageService) -> None:
    """The same bytes came again: whatever has happened to the first file, the entity has it after this."""
    if not storage.exists(entity.file_path or ""):
        storage.put_in_place(incoming, entity.file_path or "")
