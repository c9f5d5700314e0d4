from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from entities import hierarchy, locks
from entities.disposal import taken_back_on_failure
from entities.models import Entity
from entities.services.content import Content, announce_content, put_back_if_lost, require_content
from entities.services.removing import take_out_hidden
from entities.signals import media_changed
from entities.storage import EntityStorageService, IncomingFile, disk_full_explained


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
    """Raises InvalidHierarchyError."""
    now = timezone.now()
    with disk_full_explained(), transaction.atomic():
        locks.hold(locks.HIERARCHY, shared=True)
        hierarchy.check_parent(parent_id)
        return Entity.objects.create(
            is_collection=True,
            label=label,
            description=description,
            parent_id=parent_id,
            added_date=now,
            updated_date=now,
            create_date=now,
            added_by=by,
            updated_by=by,
        )


def create_entity(
    *,
    storage: EntityStorageService,
    incoming: IncomingFile,
    label: str | None = None,
    description: str | None = None,
    parent_id: int | None = None,
    by: str | None = None,
    reason: str | None = None,
) -> StoredEntity:
    """Stores a received file. The same bytes are stored once: whoever sends them again gets the first entity,
    restored if it was in the trash. History keeps the reason.

    Raises ContentRequiredError, UndecodableImageError, ImageTooLargeError, InvalidHierarchyError or
    StorageFullError with nothing changed.
    """
    require_content(incoming)
    known = _known(incoming, storage)
    if known is not None:  # spares the decoding
        return StoredEntity(known, created=False)
    content = Content.of(incoming, storage)
    entity = Entity(
        is_collection=False,
        label=label,
        description=description,
        parent_id=parent_id,
        added_date=content.now,
        updated_date=content.now,
        added_by=by,
        updated_by=by,
    )
    entity._change_reason = reason  # noqa: SLF001  (simple_history's way)
    with (
        disk_full_explained(),
        taken_back_on_failure(storage, incoming, content.file_path),
    ):
        storage.put_ahead(incoming, content.file_path)
        with transaction.atomic():
            return _store_once(entity, content)


def _known(incoming: IncomingFile, storage: EntityStorageService) -> Entity | None:
    if not _has_row(incoming.md5):  # spares the query that asks for all collections above, too
        return None
    live = Entity.objects.live().filter(md5=incoming.md5).order_by()
    paths = live.values_list("file_path", flat=True)
    return live.first() if any(storage.exists(path or "") for path in paths) else None


def _store_once(entity: Entity, content: Content) -> StoredEntity:
    locks.hold(locks.HIERARCHY, shared=True)
    locks.hold(locks.content(content.incoming.md5))
    existing = _locked(content.incoming.md5)
    if existing is not None and not take_out_hidden(existing, storage=content.storage):
        put_back_if_lost(existing, content.incoming, content.storage)
        if existing.file_path != content.file_path:
            content.storage.remove(content.file_path)  # stood there ahead
        _restore(existing, by=entity.updated_by)
        return StoredEntity(existing, created=False)
    hierarchy.check_parent(entity.parent_id)
    content.give_to(entity)
    entity.save(force_insert=True)
    media_changed.send(Entity, entity_id=entity.pk)
    announce_content(entity)
    return StoredEntity(entity, created=True)


def _locked(md5: str) -> Entity | None:
    if not _has_row(md5):
        return None
    return Entity.all_rows.filter(md5=md5).order_by().select_for_update(no_key=True).first()


def _has_row(md5: str) -> bool:
    """Most content is new, and whole rows are dear to read."""
    return Entity.all_rows.filter(md5=md5).order_by().exists()


def _restore(entity: Entity, *, by: str | None) -> None:
    if entity.is_deleted:
        entity.is_deleted = False
        entity.updated_date, entity.updated_by = timezone.now(), by
        entity._change_reason = "The same content came again."  # noqa: SLF001  (simple_history's way)
        entity.save(force_update=True)
        media_changed.send(Entity, entity_id=entity.pk)
