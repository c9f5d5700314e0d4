from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db import transaction
from django.utils import timezone

from entities import disposal, hierarchy, history, locks, versions
from entities.errors import EntityNotFoundError, NotInTrashError
from entities.models import Entity
from entities.signals import entity_removed
from entities.storage import EntityStorageService, disk_full_explained

BATCH_SIZE = 500


def remove_entity(entity_id: int, *, storage: EntityStorageService, by: str | None = None) -> None:
    """For good, with everything below it. The files go after the commit.

    Raises EntityNotFoundError or NotInTrashError with nothing changed.
    """
    with disk_full_explained(), transaction.atomic():
        locks.hold(locks.HIERARCHY)
        levels = hierarchy.subtree(entity_id)
        if not levels:
            raise EntityNotFoundError
        if not Entity.objects.get(pk=entity_id).is_deleted:
            raise NotInTrashError("An entity must be soft-deleted first; set is_deleted to true.")
        for batch in _batches(sorted(pk for level in levels for pk in level)):
            disposal.discard(storage, _lock_rows(batch))
        for level in reversed(levels):  # a parent is protected while it has children
            for batch in _batches(level):
                _remove_rows(batch, by=by)


def _lock_rows(ids: Sequence[int]) -> list[Entity]:
    return list(Entity.objects.select_for_update().filter(pk__in=ids).order_by("pk"))


def _remove_rows(ids: Sequence[int], *, by: str | None) -> None:
    rows = Entity.objects.filter(pk__in=ids)
    # The last version says what the row says: who, when, and that it is gone.
    rows.update(is_deleted=True, updated_by=by, updated_date=timezone.now())
    versions.write_last(rows)
    with history.written_already():
        rows.delete()
    for pk in ids:
        entity_removed.send(Entity, entity_id=pk)


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), BATCH_SIZE):
        yield ids[start : start + BATCH_SIZE]
