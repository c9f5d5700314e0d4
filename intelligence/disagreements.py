"""Where the state of an image is not what its content and its jobs say it should be. Only looked for here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any, Self

from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from entities.models import Entity, EntityQuerySet
from intelligence.models import STATUS_FIELDS, EntityJob, Face, ImageIntelligence
from intelligence.vocabulary import (
    HANDED_OVER,
    IMAGE_TASKS,
    LIVE_JOB_STATUSES,
    JobStatus,
    ProcessingStatus,
    TaskType,
)


@dataclass(frozen=True)
class Span:
    """Entities by id: after `first`, up to `last`; None is the end."""

    first: int
    last: int | None

    @classmethod
    def after(cls, first: int, size: int) -> Self:
        """With so many entities, or all that are left."""
        following = Entity.objects.filter(pk__gt=first).order_by("pk").values_list("pk", flat=True)
        return cls(first, following[size - 1 : size].first())

    def of(self, field: str) -> Q:
        inside = Q(**{f"{field}__gt": self.first})
        return inside if self.last is None else inside & Q(**{f"{field}__lte": self.last})


def without_current_row(span: Span) -> list[int]:
    """Live images without a row, or with a row of other content."""
    behind = pictures(span).filter(Q(intelligence__isnull=True) | ~Q(intelligence__md5=F("md5")))
    return list(behind.order_by("pk").values_list("pk", flat=True))


def pictures(span: Span) -> EntityQuerySet:
    return Entity.objects.live().images().filter(span.of("pk"), width__isnull=False)


def dropped(span: Span) -> list[int]:
    """Live images of which a job was discarded and never asked for again."""
    return _ids(_live(span).filter(_any_field(JobStatus.DISCARDED)))


def without_result(span: Span, task: TaskType, model: str) -> list[int]:
    """Said to have ended, but not by a job of the model that answers this task now."""
    if task is TaskType.FACE_EMBEDDING:
        return _with_face_without_result(span, model)
    field = STATUS_FIELDS[task]
    told = EntityJob.objects.filter(
        entity=OuterRef("pk"), task_type=task, md5=OuterRef("md5"), model=model, status=OuterRef(field)
    )
    ended = _live(span).filter(**{f"{field}__in": (JobStatus.COMPLETED, JobStatus.FAILED)})
    return _ids(ended.filter(~Exists(told)))


def _with_face_without_result(span: Span, model: str) -> list[int]:
    jobs = EntityJob.objects.filter(face=OuterRef("pk"), model=model)
    told = jobs.exclude(status=JobStatus.DISCARDED)
    lacking = Face.objects.filter(span.of("entity_id")).filter(~Exists(told), entity=OuterRef("pk"))
    ended = _live(span).filter(face_embedding_status__in=(JobStatus.COMPLETED, JobStatus.FAILED))
    return _ids(ended.filter(Exists(lacking)))


def torn_from_their_jobs(span: Span) -> list[int]:
    """Waiting for a job that has ended or never was, or said to be through while a task is not."""
    through = Q(processing_status__in=(ProcessingStatus.COMPLETED, ProcessingStatus.FAILED))
    failed = _any_field(JobStatus.FAILED)
    waits = reduce(or_, (_waits_for_nothing(task) for task in TaskType))
    faces = Q(face_detection_status=JobStatus.COMPLETED, face_embedding_status__in=LIVE_JOB_STATUSES)
    contradicts = through & (_any_field(*LIVE_JOB_STATUSES, tasks=IMAGE_TASKS) | faces)
    contradicts |= Q(processing_status=ProcessingStatus.COMPLETED) & failed
    contradicts |= Q(processing_status=ProcessingStatus.FAILED) & ~failed
    return _ids(_live(span).filter(waits | contradicts))


def _waits_for_nothing(task: TaskType) -> Q:
    live = EntityJob.objects.live().filter(entity=OuterRef("pk"), task_type=task, background=False)
    return Q(~Exists(live), **{f"{STATUS_FIELDS[task]}__in": HANDED_OVER})


def count_faces_again(span: Span) -> int:
    """Answers how many rows had another number."""
    return miscounting_faces(span).update(face_count=_number_of_faces())


def miscounting_faces(span: Span) -> QuerySet[ImageIntelligence]:
    """Where the number on the row is not that of the faces in the table."""
    found = _live(span).filter(face_detection_status=JobStatus.COMPLETED)
    return found.exclude(face_count=_number_of_faces())


def _number_of_faces() -> Any:
    of_row = Face.objects.filter(entity=OuterRef("pk")).order_by().values("entity")
    return Coalesce(Subquery(of_row.annotate(number=Count("pk")).values("number")), Value(0))


def _live(span: Span) -> QuerySet[ImageIntelligence]:
    return ImageIntelligence.objects.filter(span.of("pk"), entity__is_deleted=False)


def _any_field(*statuses: JobStatus, tasks: Any = TaskType) -> Q:
    return reduce(or_, (Q(**{f"{STATUS_FIELDS[task]}__in": statuses}) for task in tasks))


def _ids(found: QuerySet[ImageIntelligence]) -> list[int]:
    return list(found.order_by("pk").values_list("pk", flat=True))
