"""How the store stands, in numbers: by the same few queries, in the same time, however much it holds."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from django.conf import settings
from django.db.models import Count, QuerySet
from django.utils import timezone

from entities import counting, quota
from entities.models import Tally
from intelligence import hints
from intelligence.models import EntityJob, ImageIntelligence, TaskPause, waits_for
from intelligence.vocabulary import ProcessingStatus, TaskType
from store_project import broker
from store_project.celery import QUEUES
from store_project.readiness import existing
from vectors import get_clip_store, get_dino_store, get_face_store

COUNTED = 100_000
"""More rows than this are not counted: it would take longer with every row."""

COUNTED_STATUSES = tuple(status for status in ProcessingStatus if status is not ProcessingStatus.COMPLETED)
"""Completed are nearly all of them: see the number of entities."""

Values = dict[tuple[str, ...], float]


@dataclass(frozen=True)
class Tallied:
    kind: str
    subject: str
    detail: str
    number: float
    amount: float
    updated_at: float
    """Seconds since the epoch."""


@dataclass(frozen=True)
class Standing:
    entities: Values
    images: Values
    jobs: Values
    waiting: Values
    oldest_seconds: Values
    paused: Values
    free: Values
    tallies: tuple[Tallied, ...]


def read() -> Standing:
    """Raises DatabaseError."""
    return Standing(
        entities=_entities(),
        images={(status.value,): _capped(_with(status), "processing_status") for status in COUNTED_STATUSES},
        jobs=_jobs(),
        waiting={
            (task.value,): _capped(ImageIntelligence.objects.filter(waits_for(task)), "pk")
            for task in TaskType
        },
        oldest_seconds=_oldest(),
        paused={(task,): 1.0 for task in TaskPause.objects.values_list("task_type", flat=True)},
        free=_free(),
        tallies=tuple(map(_tallied, Tally.objects.exclude(kind=quota.KIND))),
    )


def _entities() -> Values:
    return {
        (kind or "collection", "deleted" if is_deleted else "live"): float(number)
        for kind, is_deleted, number in counting.by_type()
    }


def _with(status: ProcessingStatus) -> QuerySet[ImageIntelligence]:
    return ImageIntelligence.objects.filter(processing_status=status)


def _capped(rows: QuerySet[ImageIntelligence], column: str) -> float:
    """The column is in the index for these rows: to fetch so many rows would take most of a second."""
    return float(rows.order_by().values(column)[:COUNTED].count())


def _jobs() -> Values:
    live = EntityJob.objects.live().order_by().values_list("task_type", "status")
    return {(task, status): float(number) for task, status, number in live.annotate(Count("pk"))}


def _oldest() -> Values:
    waiting = _with(ProcessingStatus.PENDING).order_by("updated_at")
    since = waiting.values_list("updated_at", flat=True).first()
    return {(): 0.0 if since is None else max(0.0, (timezone.now() - since).total_seconds())}


def messages() -> Values:
    """Raises BrokerAwayError."""
    if settings.EMBEDDED_BROKER:
        return {}
    return {(queue,): float(broker.waiting(queue)) for queue in QUEUES}


def vectors() -> Values:
    """Those that this process may look into: embedded ones belong to the process that works with them.

    Raises VectorStoreError.
    """
    if not (settings.VECTORS.url or hints.worker_in_this_process.is_set()):
        return {}
    stores = {"clip": get_clip_store(), "dino": get_dino_store(), "face": get_face_store()}
    return {(space,): float(store.count()) for space, store in stores.items()}


def _free() -> Values:
    return {(): float(shutil.disk_usage(existing(settings.MEDIA_ROOT)).free)}


def _tallied(row: Tally) -> Tallied:
    return Tallied(
        row.kind, row.subject, row.detail, float(row.number), row.amount, row.updated_at.timestamp()
    )
