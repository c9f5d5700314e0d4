"""The only writers of entities: each change is one transaction, with its version and its signal."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from entities import hierarchy, locks
from entities.errors import ContentRequiredError
from entities.metadata import MediaMetadata, describe
from entities.models import Entity
from entities.signals import media_changed
from entities.storage import EntityStorageService, IncomingFile


@dataclass(frozen=True)
class StoredEntity:
    entity: Entity
    created: bool
    """False where the content was in the store already: then nothing of the request was applied."""


def create_collection(
    *,
    label: str | None = None,
    description: str | None = None,
    parent_id: int | None = None,
    by: str | None = None,
) -> Entity:
    with transaction.atomic():
        locks.hold(locks.HIERARCHY, shared=True)
        hierarchy.check_parent(parent_id)
        return Entity.objects.create(
            is_collection=True, label=label, description=description, parent_id=parent_id, **_signature(by)
        )


def create_entity(
    *,
    storage: EntityStorageService,
    incoming: IncomingFile,
    label: str | None = None,
    description: str | None = None,
    parent_id: int | None = None,
    by: str | None = None,
) -> StoredEntity:
    """Stores a received file. The same bytes are stored once: whoever sends them again gets the first entity,
    restored if it was in the trash.

    Raises ContentRequiredError, UndecodableImageError, InvalidHierarchyError or StorageFullError with nothing
    changed.
    """
    if incoming.size == 0:
        raise ContentRequiredError("The file is empty.")
    if Entity.objects.live().filter(md5=incoming.md5).exists():  # spares the decoding
        return StoredEntity(Entity.objects.get(md5=incoming.md5), created=False)
    media = describe(incoming.path, max_pixels=settings.MAX_IMAGE_PIXELS)
    with transaction.atomic():
        locks.hold(locks.HIERARCHY, shared=True)
        locks.hold(locks.content(incoming.md5))
        existing = Entity.objects.filter(md5=incoming.md5).first()
        if existing is not None:
            return StoredEntity(_restored(existing, by), created=False)
        hierarchy.check_parent(parent_id)
        entity = Entity(is_collection=False, label=label, description=description, parent_id=parent_id)
        _apply(media, entity, incoming=incoming, storage=storage, by=by)
        entity.save(force_insert=True)
        media_changed.send(Entity, entity_id=entity.pk)
    return StoredEntity(entity, created=True)


def _apply(
    media: MediaMetadata,
    entity: Entity,
    *,
    incoming: IncomingFile,
    storage: EntityStorageService,
    by: str | None,
) -> None:
    """Puts the file in place, then fills the row: a row never names a file that is not whole."""
    now = timezone.now()
    file_path = storage.file_path(incoming.md5, media.extension, now.date())
    storage.put_in_place(incoming, file_path)
    entity.md5, entity.file_size, entity.file_path = incoming.md5, incoming.size, file_path
    entity.mime_type, entity.type, entity.extension = media.mime_type, media.type, media.extension
    entity.width, entity.height, entity.duration = media.width, media.height, media.duration
    entity.create_date = media.create_date or now
    entity.updated_date, entity.updated_by = now, by
    if entity._state.adding:  # noqa: SLF001  (Django's documented way to ask)
        entity.added_date, entity.added_by = now, by


def _restored(entity: Entity, by: str | None) -> Entity:
    if entity.is_deleted:
        entity.is_deleted = False
        entity.updated_date, entity.updated_by = timezone.now(), by
        entity.save()
        media_changed.send(Entity, entity_id=entity.pk)
    return entity


def _signature(by: str | None) -> dict[str, object]:
    now = timezone.now()
    return {"added_date": now, "updated_date": now, "create_date": now, "added_by": by, "updated_by": by}
