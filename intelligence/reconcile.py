"""From history to work: reads the changes after the watermark and brings each image's row up to them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import Max

from entities import trail
from entities.models import Entity
from entities.versions import SNAPSHOT_FIELDS, EntityVersionData, History, moved_collections
from intelligence import announce, marks, rows, worker_status
from intelligence.forget import Forgetter
from intelligence.models import EntitySyncState, ImageIntelligence
from intelligence.vocabulary import Priority

BATCH_SIZE = 1000
SECONDS = 2.0
"""What is left after so long is for the next pass: the thread has others to serve."""


@dataclass(frozen=True)
class Pass:
    read: int
    """Changes of history."""
    is_behind: bool
    """The time was too short for what there was."""


@dataclass(frozen=True)
class MInsightProcessor:
    """Running it twice, or in two workers at once, changes nothing."""

    forgetter: Forgetter
    batch_size: int = BATCH_SIZE
    seconds: float = SECONDS

    def reconcile(self) -> Pass:
        """What is there, and not what keeps coming meanwhile, a few changes at a time."""
        deadline = time.monotonic() + self.seconds
        state, _ = EntitySyncState.objects.get_or_create(pk=1)
        seen, number, is_behind = state.last_version, 0, False
        while changes := self._read_after(seen):
            if number == 0:  # a pass that finds nothing is none
                worker_status.pass_started(state.last_version)
            seen = changes[-1].transaction_id
            number += len(changes)
            with transaction.atomic():
                locked = EntitySyncState.objects.select_for_update().get(pk=1)
                marks.note(moved_collections(each.transaction_id for each in changes if each.is_collection))
                self._apply(_last_of_each_entity(changes))
                _advance(locked, seen)
            if len(changes) < self.batch_size:
                break
            if is_behind := time.monotonic() > deadline:
                break
        if number:
            worker_status.pass_ended(state.last_version, seen, number)
        return Pass(number, is_behind)

    def reconcile_entities(self, entity_ids: Iterable[int], priority: Priority) -> None:
        """By their newest versions, wherever the watermark is."""
        newest = (
            History.objects.filter(id__in=list(entity_ids)).values("id").annotate(newest=Max("history_id"))
        )
        versions = History.objects.filter(history_id__in=[row["newest"] for row in newest])
        changes = [EntityVersionData.from_history(row) for row in versions.values(*SNAPSHOT_FIELDS)]
        with transaction.atomic():
            self._apply(_last_of_each_entity(changes), priority)

    def _read_after(self, version: int) -> list[EntityVersionData]:
        # Outside the transaction: `_advance` needs the ids to be seen before it draws its own number.
        newer = History.objects.filter(history_id__gt=version).order_by("history_id")
        return [
            EntityVersionData.from_history(row) for row in newer.values(*SNAPSHOT_FIELDS)[: self.batch_size]
        ]

    def _apply(self, changes: list[EntityVersionData], priority: Priority | None = None) -> None:
        """Unless a priority is given it goes by where each change came from."""
        locked = _lock_entities(change.id for change in changes)
        known = ImageIntelligence.objects.in_bulk([change.id for change in changes])
        pictures = [change for change in changes if change.is_picture and change.id in locked]
        self._forget([change.id for change in changes if not change.is_picture or change.id not in locked])
        new_content = [change for change in pictures if _brings_content(change, known.get(change.id))]
        self._forget([change.id for change in new_content if change.id in known])
        _queue((change for change in new_content if not change.is_deleted), priority)
        if trashed := [change.id for change in pictures if change.is_deleted]:
            rows.stop(trashed)
            self.forgetter.forget_unowned_faces(trashed)
        if restored := [change.id for change in pictures if not change.is_deleted and change.id in known]:
            rows.resume(restored)
        marks.note([*known, *(change.id for change in changes if change.is_removed)])
        unseen = set(known) - {change.id for change in pictures if not change.is_deleted}
        announce.entities(unseen.union(change.id for change in new_content))

    def _forget(self, entity_ids: list[int]) -> None:
        """The row, and all that was found on content that is no longer there."""
        self.forgetter.forget(entity_ids)
        rows.discard_results(entity_ids)
        ImageIntelligence.objects.filter(pk__in=entity_ids).delete()


def _last_of_each_entity(changes: Iterable[EntityVersionData]) -> list[EntityVersionData]:
    last = {change.id: change for change in changes}
    return [last[pk] for pk in sorted(last)]


def _lock_entities(ids: Iterable[int]) -> set[int]:
    """Those of `ids` that still exist; they stay until the transaction ends."""
    entities = Entity.objects.select_for_update(no_key=True).filter(pk__in=list(ids)).order_by("pk")
    return set(entities.values_list("pk", flat=True))


def _brings_content(change: EntityVersionData, row: ImageIntelligence | None) -> bool:
    return row is None or (row.md5 != change.md5 and row.version <= change.transaction_id)


def _queue(changes: Iterable[EntityVersionData], priority: Priority | None) -> None:
    rows = ImageIntelligence.objects.bulk_create(
        _pending_row(change, priority or (Priority.IMPORT if change.is_import else Priority.UPLOAD))
        for change in changes
    )
    trail.note("queued", [row.pk for row in rows])


def _pending_row(picture: EntityVersionData, priority: Priority) -> ImageIntelligence:
    assert picture.md5 is not None
    assert picture.file_path is not None
    return ImageIntelligence(
        entity_id=picture.id,
        md5=picture.md5,
        version=picture.transaction_id,
        image_path=picture.file_path,
        priority=priority,
    )


def _advance(state: EntitySyncState, seen: int) -> None:
    """Moves the watermark, but past no id whose transaction may still be open.

    SQLite has one writer at a time: ids commit in order. PostgreSQL does not, so `seen` is only noted, with
    the number of this transaction: whoever drew an id up to `seen` has a smaller number. When every smaller
    number has ended, the noted id is safe. Until then the changes above the watermark are read again, which
    changes nothing.
    """
    if connection.vendor != "postgresql":
        state.last_version = max(state.last_version, seen)
        state.save()
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_current_xact_id()::text::bigint, pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        )
        own, oldest_running = cursor.fetchone()
    if oldest_running >= state.horizon_transaction:
        state.last_version = max(state.last_version, state.horizon_version)
    if seen > state.horizon_version:
        state.horizon_version, state.horizon_transaction = seen, own
    state.save()
