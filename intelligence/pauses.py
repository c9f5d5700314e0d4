"""Tasks that are held back: what waits stays in the queue, what compute has is finished."""

from __future__ import annotations

from intelligence import hints
from intelligence.models import TaskPause
from intelligence.vocabulary import TaskType


def paused_tasks() -> frozenset[TaskType]:
    return frozenset(TaskType(name) for name in TaskPause.objects.values_list("task_type", flat=True))


def pause(task: TaskType, *, by: str | None) -> bool:
    """False if it was paused already; who did it first stays on record."""
    _, created = TaskPause.objects.get_or_create(task_type=task, defaults={"paused_by": by})
    return created


def resume(task: TaskType) -> bool:
    """Sends what waited. False if it was not paused."""
    deleted, _ = TaskPause.objects.filter(task_type=task).delete()
    hints.dispatch()
    return bool(deleted)
