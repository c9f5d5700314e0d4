"""What is said of entities and of the worker over MQTT: read from the rows at the moment it is sent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from entities.models import ServiceConfig
from entities.versions import History
from intelligence import worker_status
from intelligence.api.intelligence_data import overall_status, task_statuses
from intelligence.models import EntityJob, EntitySyncState, ImageIntelligence
from intelligence.vocabulary import ProcessingStatus, TaskType

State = Mapping[str, Any] | None
"""The payload without its time; None where nothing is kept for clients to read."""

WORKER = 0
"""Stands for the worker where all others are ids of entities."""
KEPT = timedelta(seconds=60)
"""How long a status is told after the end, for clients that come late."""
ENDED = (ProcessingStatus.COMPLETED, ProcessingStatus.FAILED)


def read(subjects: Collection[int]) -> dict[int, State]:
    """Of every subject, with two or three queries."""
    states: dict[int, State] = dict.fromkeys(subjects)
    if WORKER in states:
        states[WORKER] = _of_worker()
    rows = _told_rows(subjects)
    jobs = _face_jobs(row.pk for row in rows)
    for row in rows:
        states[row.pk] = {
            "entity_id": row.pk,
            "status": overall_status(row),
            "face_count": row.face_count,
            **task_statuses(row, jobs[row.pk]),
        }
    return states


def _of_worker() -> State:
    said = worker_status.read()
    return {
        "status": said.status,
        "version_start": said.version_start,
        "version_end": said.version_end,
        "processed_count": said.processed_count,
    }


def _told_rows(subjects: Collection[int]) -> list[ImageIntelligence]:
    """Of live images whose present content the row describes, unless it has ended long ago."""
    over = Q(processing_status__in=ENDED, updated_at__lte=timezone.now() - KEPT)
    current = ImageIntelligence.objects.filter(md5=F("entity__md5"), entity__is_deleted=False)
    return list(current.filter(~over, pk__in=subjects).select_related("entity"))


def _face_jobs(entity_ids: Iterable[int]) -> Mapping[int, list[EntityJob]]:
    of_entity: dict[int, list[EntityJob]] = defaultdict(list)
    jobs = EntityJob.objects.filter(entity_id__in=list(entity_ids), task_type=TaskType.FACE_EMBEDDING)
    for job in jobs.order_by("pk"):
        of_entity[job.entity_id].append(job)
    return of_entity


def changed_lately(limit: int) -> list[int]:
    """What may have been told to nobody: by a worker that died, or while the broker was away."""
    rows = ImageIntelligence.objects.filter(
        processing_status__in=list(ProcessingStatus), updated_at__gt=timezone.now() - KEPT
    )
    return list(rows.order_by("-updated_at").values_list("pk", flat=True)[:limit])


# --- What may still be kept by the broker -----------------------------------------------------------------

MARKS_KEY = "mqtt_cleared"
MARGIN = timedelta(seconds=5)
"""Clocks of two machines may differ by this much: what is cleared is over for everybody."""


@dataclass(frozen=True)
class Batch:
    entity_ids: list[int]
    marks: dict[str, Any]
    """To be kept once the statuses of these entities are gone."""
    is_last: bool


class Clearing:
    """Walks behind the images that end and the versions that are written, and keeps only how far it came.

    A mark moves when the broker has confirmed: whatever crashes, the next one carries on from there.
    """

    def __init__(self, batch_size: int = 500) -> None:
        self.batch_size = batch_size

    def prepare(self) -> None:
        """Before the first status is told: what ended earlier was told by nobody."""
        ServiceConfig.objects.get_or_create(key=MARKS_KEY, defaults={"value": _first_marks()})

    def next_batch(self) -> Batch:
        marks = {**_first_marks(), **ServiceConfig.objects.get(key=MARKS_KEY).value}
        found: list[int] = []
        is_last = True
        for status in ENDED:
            ended = self._ended_after(status, marks[status])
            found += [pk for pk, _ in ended]
            if ended:
                pk, at = ended[-1]
                marks[status] = [at.isoformat(), pk]
            is_last &= len(ended) < self.batch_size
        versions = self._versions_after(marks["version"])
        found += _without_living_row({pk for _, pk in versions})
        if versions:
            marks["version"] = versions[-1][0]
        return Batch(found, marks, is_last and len(versions) < self.batch_size)

    def keep(self, marks: Mapping[str, Any]) -> None:
        """Another worker may have come further."""
        with transaction.atomic():
            row = ServiceConfig.objects.select_for_update().get(key=MARKS_KEY)
            further = {name: max(mark, row.value.get(name, mark)) for name, mark in marks.items()}
            if further != row.value:
                row.value = further
                row.save()

    def _ended_after(self, status: ProcessingStatus, mark: list[Any]) -> list[tuple[int, datetime]]:
        at, pk = datetime.fromisoformat(mark[0]), mark[1]
        rows = ImageIntelligence.objects.filter(
            Q(updated_at__gt=at) | Q(pk__gt=pk),
            processing_status=status,
            updated_at__gte=at,
            updated_at__lte=timezone.now() - KEPT - MARGIN,
        )
        return list(rows.order_by("updated_at", "pk").values_list("pk", "updated_at")[: self.batch_size])

    def _versions_after(self, version: int) -> list[tuple[int, int]]:
        """Of files, up to where no transaction can still bring an earlier one."""
        versions = History.objects.filter(
            history_id__gt=version, history_id__lte=_safe_version(), md5__isnull=False
        )
        return list(versions.order_by("history_id").values_list("history_id", "id")[: self.batch_size])


def _first_marks() -> dict[str, Any]:
    now = (timezone.now() - KEPT).isoformat()
    return {**{status.value: [now, 0] for status in ENDED}, "version": _safe_version()}


def _safe_version() -> int:
    state = EntitySyncState.objects.filter(pk=1).first()
    return 0 if state is None else state.last_version


def _without_living_row(entity_ids: Collection[int]) -> set[int]:
    """Removed, in the trash, or not an image any more: no end of work will be seen of these."""
    living = ImageIntelligence.objects.filter(pk__in=entity_ids, entity__is_deleted=False)
    return set(entity_ids).difference(living.values_list("pk", flat=True))
