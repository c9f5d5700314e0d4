"""How the work on all images stands: what `manage.py intelligence status` and the admin show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Min, Q
from django.utils import timezone

from intelligence import capabilities, hints, model_versions, worker_status
from intelligence.model_versions import Progress, State
from intelligence.models import STATUS_FIELDS, EntityJob, ImageIntelligence, TaskPause
from intelligence.vocabulary import JobStatus, ProcessingStatus, TaskType
from intelligence.worker_status import WorkerStatus

RATE_MINUTES = (5, 60)


@dataclass(frozen=True)
class TaskFigures:
    task: TaskType
    images: Mapping[str, int]
    """By the status of the task; of the faces of an image together."""
    outstanding: Mapping[str, int]
    """Jobs that have not ended, by status."""
    ended_per_minute: Mapping[int, float]
    """Over the last so many minutes."""
    oldest_waiting: datetime | None
    """Since when the image that waits longest has waited."""
    paused_at: datetime | None
    paused_by: str | None


@dataclass(frozen=True)
class ModelFigures:
    """Of a model whose vectors are kept."""

    task: TaskType
    model: str
    state: str
    progress: Progress | None
    """Of one beside the current one."""


@dataclass(frozen=True)
class Figures:
    images: Mapping[str, int]
    tasks: tuple[TaskFigures, ...]
    models: tuple[ModelFigures, ...]
    can: str
    """What the models that are read can and cannot do, in the words of a worker; empty until one has told."""
    worker: WorkerStatus
    """Of the one that reads history; there is one in every installation, embedded or not."""
    workers: tuple[str, ...]
    """All that answer over a broker; none where the worker is embedded."""


def read_figures() -> Figures:
    """With the same few queries however many images there are; one of them reads every row."""
    now = timezone.now()
    groups = list(
        ImageIntelligence.objects.order_by()
        .values("processing_status", *STATUS_FIELDS.values())
        .annotate(number=Count("pk"), oldest=Min("updated_at"))
    )
    live = EntityJob.objects.live().order_by().values("task_type", "status").annotate(number=Count("pk"))
    jobs = list(live)
    rates = _ended(now)
    pauses = {pause.task_type: pause for pause in TaskPause.objects.all()}
    return Figures(
        images=_sum(groups, "processing_status", ProcessingStatus),
        tasks=tuple(
            TaskFigures(
                task=task,
                images=_sum(groups, STATUS_FIELDS[task], JobStatus),
                outstanding=_sum((row for row in jobs if row["task_type"] == task), "status"),
                ended_per_minute={minutes: rates.get((task, minutes), 0.0) for minutes in RATE_MINUTES},
                oldest_waiting=_oldest(groups, task),
                paused_at=pauses[task].paused_at if task in pauses else None,
                paused_by=pauses[task].paused_by if task in pauses else None,
            )
            for task in TaskType
        ),
        models=read_models(),
        can=capabilities.summary(),
        worker=worker_status.read(),
        workers=hints.workers(),
    )


def read_models() -> tuple[ModelFigures, ...]:
    """The current one of each task first."""
    return tuple(
        ModelFigures(
            TaskType(each.task_type),
            each.model,
            each.state,
            None if each.state == State.CURRENT else model_versions.progress(each),
        )
        for each in model_versions.kept()
    )


def model_in_words(figures: ModelFigures) -> str:
    line = f"{figures.task}: {figures.model} ({figures.state})"
    if (told := figures.progress) is None:
        return line
    line += f", {told.done} of {told.total} vectors"
    parts = ((told.under_way, "under way"), (told.failed, "failed"))
    return ", ".join([line, *(f"{number} {what}" for number, what in parts if number)])


def model_as_json(figures: ModelFigures) -> dict[str, Any]:
    return {
        "task": figures.task.value,
        "model": figures.model,
        "state": figures.state,
        "progress": figures.progress and {**asdict(figures.progress), "missing": figures.progress.missing},
    }


def as_json(figures: Figures) -> dict[str, Any]:
    """Times in ISO 8601."""
    return {
        "images": dict(figures.images),
        "tasks": {
            each.task.value: {
                "images": dict(each.images),
                "outstanding": dict(each.outstanding),
                "ended_per_minute": {
                    str(minutes): round(rate, 2) for minutes, rate in each.ended_per_minute.items()
                },
                "oldest_waiting": each.oldest_waiting and each.oldest_waiting.isoformat(),
                "paused": each.paused_at and {"at": each.paused_at.isoformat(), "by": each.paused_by},
            }
            for each in figures.tasks
        },
        "models": list(map(model_as_json, figures.models)),
        "can": figures.can,
        "worker": {
            "status": figures.worker.status.value,
            "last_heard": figures.worker.timestamp.isoformat(),
        },
        "workers": list(figures.workers),
    }


def _sum(groups: Iterable[Mapping[str, Any]], field: str, words: Iterable[str] = ()) -> dict[str, int]:
    """Each of `words` is named, also with 0."""
    counted = Counter({str(word): 0 for word in words})
    for group in groups:
        counted[group[field]] += group["number"]
    return dict(counted)


def _oldest(groups: Iterable[Mapping[str, Any]], task: TaskType) -> datetime | None:
    waiting = [group for group in groups if group[STATUS_FIELDS[task]] == JobStatus.PENDING]
    if task is TaskType.FACE_EMBEDDING:
        waiting = [group for group in waiting if group["face_detection_status"] == JobStatus.COMPLETED]
    return min((group["oldest"] for group in waiting), default=None)


def _ended(now: datetime) -> dict[tuple[str, int], float]:
    counts = {
        f"in_{minutes}": Count("pk", filter=Q(completed_at__gte=now - timedelta(minutes=minutes)))
        for minutes in RATE_MINUTES
    }
    lately = EntityJob.objects.filter(completed_at__gte=now - timedelta(minutes=max(RATE_MINUTES)))
    rows = lately.exclude(status=JobStatus.DISCARDED).order_by().values("task_type").annotate(**counts)
    return {
        (row["task_type"], minutes): row[f"in_{minutes}"] / minutes
        for row in rows
        for minutes in RATE_MINUTES
    }
