from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from entities import disposal, hierarchy, history, locks, removals, trash, versions
from entities.errors import EntityNotFoundError, NotInTrashError
from entities.models import Entity, Removal
from entities.signals import entity_removed
from entities.storage import EntityStorageService, disk_full_explained

BATCH_SIZE = 500
MOST_AT_ONCE = 200
"""With more than so many below it an entity is only hidden at once, and removed in slices after that."""
SLICE = 100
"""Nobody else can write to SQLite while one goes: a fraction of a second, also on a small machine. Nor while
MOST_AT_ONCE go: of 900 it was a second."""
PAUSE_SECONDS = 0.05
"""Between slices, for those who wait to write."""


def remove_entity(
    entity_id: int,
    *,
    storage: EntityStorageService,
    by: str | None = None,
    trashed_before: datetime | None = None,
) -> None:
    """For good, with everything below it. The files go after the commit.

    Raises EntityNotFoundError or NotInTrashError with nothing changed; the latter also where it came into the
    trash only later than `trashed_before`.
    """
    with disk_full_explained(), transaction.atomic():
        locks.hold(locks.HIERARCHY)
        entity = Entity.objects.filter(pk=entity_id).first()
        if entity is None:
            raise EntityNotFoundError
        if not entity.is_deleted:
            raise NotInTrashError("An entity must be soft-deleted first; set is_deleted to true.")
        if trashed_before is not None and not trash.has_lain(entity_id, since=trashed_before):
            raise NotInTrashError("It came into the trash later.")
        if hierarchy.size(entity_id) > MOST_AT_ONCE:
            removals.hide(entity_id, by=by)
            return
        levels = hierarchy.subtree(entity_id)
        for batch in _batches(sorted(pk for level in levels for pk in level)):
            disposal.discard(storage, _lock_rows(batch))
        for level in reversed(levels):  # a parent is protected while it has children
            for batch in _batches(level):
                _remove_rows(batch, by=by)


def carry_on(storage: EntityStorageService, *, seconds: float) -> int:
    """Removes slices of what is hidden, for about so long; answers how much. Safe to stop anywhere."""
    deadline, number = time.monotonic() + seconds, 0
    while removed := _remove_slice(storage):
        number += removed
        if time.monotonic() > deadline:
            break
        time.sleep(PAUSE_SECONDS)
    return number


def purge_trash(storage: EntityStorageService, *, before: datetime) -> Iterator[int]:
    """Removes what has lain in the trash since then, one after the other; tells of each."""
    for each in trash.older_than(before):
        with suppress(EntityNotFoundError, NotInTrashError):  # removed or restored meanwhile
            remove_entity(each.pk, storage=storage, by=each.trashed_by, trashed_before=before)
            yield each.pk


@transaction.atomic
def _remove_slice(storage: EntityStorageService) -> int:
    """From the leaves up: nothing that still has something in it."""
    locks.hold(locks.HIERARCHY)
    has_children = Exists(Entity.all_rows.filter(parent=OuterRef("entity_id")))
    leaves = list(Removal.objects.filter(~has_children).order_by("entity_id")[:SLICE])
    of_one = [leaf.entity_id for leaf in leaves if leaf.removed_by == leaves[0].removed_by]
    if of_one:
        disposal.discard(storage, _lock_rows(of_one))
        _remove_rows(of_one, by=leaves[0].removed_by)
    return len(of_one)


def take_out_hidden(entity: Entity, *, storage: EntityStorageService) -> bool:
    """Ahead of its slice, where its content has come again. With the lock of that content; False where the
    entity is not being removed.
    """
    removal = Removal.objects.filter(entity_id=entity.pk).first()
    if removal is None:
        return False
    disposal.discard(storage, [entity])
    _remove_rows([entity.pk], by=removal.removed_by)
    return True


def _lock_rows(ids: Sequence[int]) -> list[Entity]:
    return list(Entity.all_rows.select_for_update().filter(pk__in=ids).order_by("pk"))


def _remove_rows(ids: Sequence[int], *, by: str | None) -> None:
    rows = Entity.all_rows.filter(pk__in=ids)
    # The last version says what the row says: who, when, and that it is gone.
    rows.update(is_deleted=True, updated_by=by, updated_date=timezone.now())
    versions.write_last(rows)
    with history.written_already():
        rows.delete()
    Removal.objects.filter(entity_id__in=ids).delete()
    for pk in ids:
        entity_removed.send(Entity, entity_id=pk)


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), BATCH_SIZE):
        yield ids[start : start + BATCH_SIZE]
