"""Asking once more: for what has failed, what is missing, or everything. What is there serves until then."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from intelligence import hints, rows
from intelligence.models import STATUS_FIELDS, EntityJob, ImageIntelligence
from intelligence.vocabulary import LIVE_JOB_STATUSES, JobStatus, Priority, TaskType

BATCH_SIZE = 1000

Ids = Collection[int] | QuerySet[Any, Any]


@dataclass(frozen=True)
class Selection:
    """One task of some images, in the order of their ids. None is in the trash."""

    task: TaskType
    rows: QuerySet[ImageIntelligence]

    def count(self) -> int:
        return self.rows.count()

    def batches(self) -> Iterator[list[int]]:
        """By id: the memory stays flat, and what changes meanwhile is neither skipped nor met twice."""
        last = 0
        while batch := list(
            self.rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH_SIZE]
        ):
            yield batch
            last = batch[-1]


def failed(task: TaskType, *, entity_ids: Ids | None = None, error_like: str = "") -> Selection:
    """Whose newest attempt has failed; `error_like`: with these words in the reason."""
    chosen = _live(entity_ids).filter(_status(task, JobStatus.FAILED))
    if error_like:
        reasons = EntityJob.objects.filter(
            entity=OuterRef("pk"),
            task_type=task,
            md5=OuterRef("md5"),
            status=JobStatus.FAILED,
            error_message__icontains=error_like,
        )
        chosen = chosen.filter(Exists(reasons))
    return Selection(task, chosen)


def missing(task: TaskType) -> Selection:
    """Given up, dropped, or said to be done without a job that did it."""
    done = EntityJob.objects.filter(
        entity=OuterRef("pk"), task_type=task, md5=OuterRef("md5"), status=JobStatus.COMPLETED
    )
    undone = Q(_status(task, JobStatus.COMPLETED), ~Exists(done))
    if task is TaskType.FACE_EMBEDDING:
        undone &= Q(face_count__gt=0)
    return Selection(task, _live(None).filter(_status(task, JobStatus.FAILED, JobStatus.DISCARDED) | undone))


def all_ended(task: TaskType, *, entity_ids: Ids | None = None) -> Selection:
    return Selection(task, _live(entity_ids).filter(_status(task, JobStatus.COMPLETED, JobStatus.FAILED)))


def ask_again(selection: Selection, priority: Priority) -> Iterator[int]:
    """Yields how many images each batch had, once they are in the queue. Running it twice does no harm."""
    for batch in selection.batches():
        yield rows.make_pending(batch, selection.task, priority)
    hints.dispatch()


def _live(entity_ids: Ids | None) -> QuerySet[ImageIntelligence]:
    live = ImageIntelligence.objects.filter(entity__is_deleted=False)
    return live if entity_ids is None else live.filter(pk__in=entity_ids)


def _status(task: TaskType, *statuses: JobStatus) -> Q:
    return Q(**{f"{STATUS_FIELDS[task]}__in": statuses})


def unknown(entity_ids: Collection[int]) -> set[int]:
    """Those of `entity_ids` that have no row."""
    known = ImageIntelligence.objects.filter(pk__in=entity_ids).values_list("pk", flat=True)
    return set(entity_ids) - set(known)


def retry_jobs(jobs: QuerySet[EntityJob]) -> int:
    """Asks again for the failed among them, and at once for those that wait for another attempt."""
    number = 0
    for task in TaskType:
        of_task = jobs.filter(task_type=task, status=JobStatus.FAILED).order_by()
        number += sum(ask_again(failed(task, entity_ids=of_task.values("entity_id")), Priority.BACKFILL))
    put_off = jobs.filter(status=JobStatus.PENDING, not_before__gt=timezone.now()).exclude(error_message="")
    number += put_off.order_by().update(not_before=None)
    hints.dispatch()
    return number


def discard_jobs(jobs: QuerySet[EntityJob], *, by: str) -> int:
    """They fail, so that no sweep asks for them again, but a person may."""
    return sum(rows.fail_job(job, f"Discarded by {by}.") for job in jobs.filter(status__in=LIVE_JOB_STATUSES))
