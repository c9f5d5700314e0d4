"""Which models are wanted and which is read: rows of the database, so that every process agrees at once.

The web side reads the current model here before each search; `manage.py reembed` changes the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from entities import locks
from intelligence import hints
from intelligence.models import (
    EntityJob,
    EntityJobQuerySet,
    Face,
    ImageIntelligence,
    ModelVersion,
    ModelVersionEvent,
)
from intelligence.vocabulary import LIVE_JOB_STATUSES, JobStatus, TaskType
from vectors import VectorKind

LOCK = "intelligence.models"
"""Exclusive for whoever changes which models are wanted, shared for whoever applies a result: so none of a
model that was dropped is written after its vectors are gone. Taken after entities, before jobs."""

KINDS = {
    TaskType.CLIP_EMBEDDING: VectorKind.CLIP,
    TaskType.DINO_EMBEDDING: VectorKind.DINO,
    TaskType.FACE_EMBEDDING: VectorKind.FACE,
}
"""The tasks that make vectors."""
TASKS = {kind: task for task, kind in KINDS.items()}

State = ModelVersion.State
OTHERS = (State.FILLING, State.PREVIOUS)


class VersionError(Exception):
    """Nothing was changed; the message says what would have to be."""


def current_model(kind: VectorKind) -> str | None:
    """None before any worker has ever asked for a vector of this kind."""
    found = ModelVersion.objects.filter(task_type=TASKS[kind], state=State.CURRENT)
    return found.values_list("model", flat=True).first()


def dimension(kind: VectorKind, model: str) -> int | None:
    """None where the model did not tell."""
    found = ModelVersion.objects.filter(task_type=TASKS[kind], model=model)
    return found.values_list("dimension", flat=True).first()


def kept() -> QuerySet[ModelVersion]:
    """The current one first."""
    return ModelVersion.objects.exclude(state=State.DROPPED).order_by("task_type", "state")


def of_task(task: TaskType) -> tuple[ModelVersion | None, ModelVersion | None]:
    """The current one and the other, as far as there are."""
    found = list(kept().filter(task_type=task))
    current = next((each for each in found if each.state == State.CURRENT), None)
    return current, next((each for each in found if each is not current), None)


# --- Changes ---


@transaction.atomic
def adopt(task: TaskType, model: str, *, dimension: int | None, by: str) -> None:
    """The first ever: what there is already counts as its own."""
    locks.hold(LOCK)
    if of_task(task)[0] is None:
        version, _ = ModelVersion.objects.get_or_create(task_type=task, model=model)
        version.dimension = dimension
        _become(version, State.CURRENT, by)


@transaction.atomic
def start(task: TaskType, model: str, *, by: str | None, dimension: int | None = None) -> bool:
    """Has all images looked at with this model too, whose vectors have so many dimensions. Where that has
    begun already, what has failed is asked for once more; then False is answered.
    """
    locks.hold(LOCK)
    current, other = of_task(task)
    if current is None:
        raise VersionError(f"Nothing is known of {task} yet: there is nothing to replace.")
    if current.model == model:
        raise VersionError(f"{model} is the current model of {task} already.")
    if other is not None and other.model != model:
        raise VersionError(f"{other.model} is kept beside {current.model} already: --drop it first.")
    if other is not None:
        _jobs_of(other).filter(status=JobStatus.FAILED).update(status=JobStatus.DISCARDED)
        _look_again(other)
        return False
    version, _ = ModelVersion.objects.get_or_create(task_type=task, model=model)
    version.started_at, version.dimension = timezone.now(), dimension
    _look_again(version)
    _become(version, State.FILLING, by)
    return True


@transaction.atomic
def switch(task: TaskType, *, by: str | None, force: bool = False) -> ModelVersion:
    """Makes the other model the one that is read. The one before is kept up to date, for a rollback."""
    locks.hold(LOCK)
    current, other = of_task(task)
    if other is None:
        raise VersionError(f"There is no other model of {task} to switch to; begin one with --model.")
    told = progress(other)
    if told.missing and not force:
        raise VersionError(
            f"{other.model} lacks {told.missing} of {told.total} vectors ({told.failed} have failed): "
            "wait until they are there, ask for the failed ones again with --model, or --force it."
        )
    _exchange(current, other, by)
    return other


@transaction.atomic
def roll_back(task: TaskType, *, by: str | None) -> ModelVersion:
    locks.hold(LOCK)
    current, other = of_task(task)
    if other is None or other.state != State.PREVIOUS:
        raise VersionError(f"Nothing was switched: there is no earlier model of {task} to go back to.")
    _exchange(current, other, by, left_as=State.FILLING)
    return other


@transaction.atomic
def drop(task: TaskType, *, by: str | None, model: str | None = None) -> ModelVersion:
    """Takes the model that is not current out of use, with its unfinished work. Its vectors go soon."""
    locks.hold(LOCK)
    _, other = of_task(task)
    if other is None or model not in (None, other.model):
        raise VersionError(f"{model or 'No other model'} is not kept beside the current model of {task}.")
    _become(other, State.DROPPED, by)
    live = _jobs_of(other).live()
    job_ids = [job_id for job_id in live.values_list("job_id", flat=True) if job_id]
    now = timezone.now()
    live.update(status=JobStatus.DISCARDED, updated_at=now, completed_at=now)
    transaction.on_commit(lambda: hints.finish_jobs(job_ids))
    return other


def _exchange(
    current: ModelVersion | None, other: ModelVersion, by: str | None, left_as: State = State.PREVIOUS
) -> None:
    if current is not None:
        # In between none is current; the constraints allow one in each place.
        ModelVersion.objects.filter(pk=other.pk).update(state=State.DROPPED)
        _look_again(current)
        _become(current, left_as, by)
    _become(other, State.CURRENT, by)
    transaction.on_commit(hints.dispatch)


def _become(version: ModelVersion, state: State, by: str | None) -> None:
    version.state = state
    version.save()
    ModelVersionEvent.objects.create(task_type=version.task_type, model=version.model, state=state, by=by)


def _look_again(version: ModelVersion) -> None:
    version.asked_up_to = 0
    if version.pk and version.state:
        version.save()
    transaction.on_commit(hints.dispatch)


# --- Progress ---


@dataclass(frozen=True)
class Progress:
    total: int
    """What there is to find with the current model: images, or faces."""
    done: int
    failed: int
    under_way: int

    @property
    def missing(self) -> int:
        return self.total - self.done


def progress(version: ModelVersion) -> Progress:
    """Of one that is not current, against the current one. Some seconds for a million images."""
    task = TaskType(version.task_type)
    current, _ = of_task(task)
    found = subjects(task)
    if current is not None:
        found = found.filter(_has_job(current, JobStatus.COMPLETED))
    without = found.filter(~_has_job(version, JobStatus.COMPLETED))
    total, missing = found.count(), without.count()
    return Progress(
        total,
        total - missing,
        failed=without.filter(_has_job(version, JobStatus.FAILED)).count() if missing else 0,
        under_way=_jobs_of(version).live().count(),
    )


def subjects(task: TaskType) -> QuerySet[ImageIntelligence] | QuerySet[Face]:
    """What has a vector of the task: live images with a row of their content, or the faces of these."""
    if task is TaskType.FACE_EMBEDDING:
        faces = Face.objects.filter(entity__is_deleted=False, entity__intelligence__md5=F("entity__md5"))
        return faces.order_by()
    return ImageIntelligence.objects.filter(entity__is_deleted=False, md5=F("entity__md5"))


def lacking(version: ModelVersion) -> QuerySet[ImageIntelligence] | QuerySet[Face]:
    """Never asked for with this model, or what was asked for was dropped."""
    asked = (*LIVE_JOB_STATUSES, JobStatus.COMPLETED, JobStatus.FAILED)
    return subjects(TaskType(version.task_type)).filter(~_has_job(version, *asked))


def done(version: ModelVersion) -> QuerySet[ImageIntelligence] | QuerySet[Face]:
    return subjects(TaskType(version.task_type)).filter(_has_job(version, JobStatus.COMPLETED))


def completed_jobs(version: ModelVersion, ids: Sequence[int]) -> QuerySet[EntityJob]:
    """By id of the image, or of the face."""
    field = "face_id__in" if version.task_type == TaskType.FACE_EMBEDDING else "entity_id__in"
    return _jobs_of(version).filter(status=JobStatus.COMPLETED, **{field: ids})


def _has_job(version: ModelVersion, *statuses: JobStatus) -> Exists:
    if version.task_type == TaskType.FACE_EMBEDDING:
        same: dict[str, OuterRef] = {"face": OuterRef("pk")}
    else:
        same = {"entity": OuterRef("pk"), "md5": OuterRef("md5")}
    return Exists(_jobs_of(version).filter(status__in=statuses, **same))


def _jobs_of(version: ModelVersion) -> EntityJobQuerySet:
    since = Q() if version.started_at is None else Q(created_at__gte=version.started_at)
    return EntityJob.objects.filter(since, task_type=version.task_type, model=version.model).order_by()
