"""Asking once more: for what has failed, what is missing, or everything. What is there serves until then."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q, QuerySet

from intelligence import hints, rows
from intelligence.models import STATUS_FIELDS, EntityJob, ImageIntelligence
from intelligence.vocabulary import JobStatus, Priority, TaskType

BATCH_SIZE = 1000


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


def failed(task: TaskType, *, entity_ids: Collection[int] | None = None, error_like: str = "") -> Selection:
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


def all_ended(task: TaskType, *, entity_ids: Collection[int] | None = None) -> Selection:
    return Selection(task, _live(entity_ids).filter(_status(task, JobStatus.COMPLETED, JobStatus.FAILED)))


def ask_again(selection: Selection, priority: Priority) -> Iterator[int]:
    """Yields how many images each batch had, once they are in the queue. Running it twice does no harm."""
    for batch in selection.batches():
        yield rows.make_pending(batch, selection.task, priority)
    hints.dispatch()


def _live(entity_ids: Collection[int] | None) -> QuerySet[ImageIntelligence]:
    live = ImageIntelligence.objects.filter(entity__is_deleted=False)
    return live if entity_ids is None else live.filter(pk__in=entity_ids)


def _status(task: TaskType, *statuses: JobStatus) -> Q:
    return Q(**{f"{STATUS_FIELDS[task]}__in": statuses})


def unknown(entity_ids: Collection[int]) -> set[int]:
    """Those of `entity_ids` that have no row."""
    known = ImageIntelligence.objects.filter(pk__in=entity_ids).values_list("pk", flat=True)
    return set(entity_ids) - set(known)
