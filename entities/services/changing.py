from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TypedDict

from django.db import transaction
from django.utils import timezone

from entities import disposal, hierarchy, locks, versions
from entities.errors import (
    ContentNotAllowedError,
    ContentTakenError,
    EntityNotFoundError,
    KindMismatchError,
)
from entities.models import Entity
from entities.services.content import Content, announce_content, put_back_if_lost, require_content
from entities.services.removing import take_out_hidden
from entities.signals import media_changed
from entities.storage import EntityStorageService, IncomingFile, disk_full_explained


class Changes(TypedDict, total=False):
    """What is to change; a key that is absent stays as it is."""

    label: str | None
    description: str | None
    parent_id: int | None
    is_deleted: bool


def patch_entity(entity_id: int, changes: Changes, *, by: str | None = None) -> None:
    """Makes a new version even where nothing changes.

    Raises EntityNotFoundError or InvalidHierarchyError with nothing changed.
    """
    with disk_full_explained(), transaction.atomic():
        if {"parent_id", "is_deleted"} & changes.keys():
            locks.hold(locks.HIERARCHY)
        entity = _lock_row(entity_id)
        was_deleted = entity.is_deleted
        _move(entity, changes.get("parent_id", entity.parent_id))
        entity.label = changes.get("label", entity.label)
        entity.description = changes.get("description", entity.description)
        entity.is_deleted = changes.get("is_deleted", entity.is_deleted)
        _save(entity, by=by)
        if entity.is_deleted != was_deleted:
            media_changed.send(Entity, entity_id=entity.pk)


def restore_version(entity_id: int, number: int, *, by: str | None = None) -> None:
    """Makes a new version with the label, description and parent of an earlier one.

    Raises EntityNotFoundError, VersionNotFoundError or InvalidHierarchyError with nothing changed.
    """
    with disk_full_explained(), transaction.atomic():
        locks.hold(locks.HIERARCHY)
        entity = _lock_row(entity_id)
        earlier = versions.get_version(entity_id, number)
        _move(entity, earlier.parent_id)
        entity.label, entity.description = earlier.label, earlier.description
        entity._change_reason = f"Version {number} was restored."  # noqa: SLF001  (simple_history's way)
        _save(entity, by=by)


def replace_entity(
    entity_id: int,
    *,
    is_collection: bool,
    label: str | None,
    description: str | None = None,
    parent_id: int | None = None,
    storage: EntityStorageService,
    incoming: IncomingFile | None = None,
    by: str | None = None,
) -> None:
    """Puts new texts and a new parent in place of the old ones, and a new file if there is one.

    Raises EntityNotFoundError, KindMismatchError, ContentNotAllowedError, ContentRequiredError,
    ContentTakenError, InvalidHierarchyError, UndecodableImageError, ImageTooLargeError or StorageFullError
    with nothing changed.
    """
    _check_replacement(entity_id, incoming, is_collection=is_collection)
    content = None if incoming is None else Content.of(incoming, storage)
    with disk_full_explained(), _taken_back_on_failure(content), transaction.atomic():
        locks.hold(locks.HIERARCHY)
        if content is not None:
            locks.hold(locks.content(content.incoming.md5))
        entity = _lock_row(entity_id)
        _move(entity, parent_id)
        entity.label, entity.description = label, description
        if content is not None:
            _replace_content(entity, content)
            announce_content(entity)
        _save(entity, by=by)


def _check_replacement(entity_id: int, incoming: IncomingFile | None, *, is_collection: bool) -> None:
    """What never changes of an entity can be asked before any lock."""
    was_collection = Entity.objects.filter(pk=entity_id).values_list("is_collection", flat=True).first()
    if was_collection is None:
        raise EntityNotFoundError
    if was_collection != is_collection:
        raise KindMismatchError("is_collection cannot change.")
    if incoming is not None and is_collection:
        raise ContentNotAllowedError("A collection has no file; leave media_file out.")
    if incoming is not None:
        require_content(incoming)


def _taken_back_on_failure(content: Content | None) -> AbstractContextManager[None]:
    if content is None:
        return nullcontext()
    return disposal.taken_back_on_failure(content.storage, content.incoming, content.file_path)


def _replace_content(entity: Entity, content: Content) -> None:
    if entity.md5 == content.incoming.md5:
        put_back_if_lost(entity, content.incoming, content.storage)
        return
    other = Entity.all_rows.select_for_update(no_key=True).filter(md5=content.incoming.md5).first()
    if other is not None and not take_out_hidden(other, storage=content.storage):
        trash = ", which is in the trash: restore it, or remove it for good" if other.is_deleted else ""
        raise ContentTakenError(f"The same content belongs to entity {other.pk}{trash}.")
    disposal.discard(content.storage, [entity])
    content.give_to(entity)
    media_changed.send(Entity, entity_id=entity.pk)


def _lock_row(entity_id: int) -> Entity:
    entity = Entity.objects.select_for_update(no_key=True).filter(pk=entity_id).first()
    if entity is None:
        raise EntityNotFoundError
    return entity


def _move(entity: Entity, parent_id: int | None) -> None:
    """An entity may stay where it is, even below a deleted parent."""
    if parent_id != entity.parent_id:
        hierarchy.check_parent(parent_id, moved_id=entity.pk)
        entity.parent_id = parent_id


def _save(entity: Entity, *, by: str | None) -> None:
    entity.updated_date, entity.updated_by = timezone.now(), by
    entity.save(force_update=True)
