"""Which model files are in use: a row of the database, so that all processes follow it without a restart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from django.db import transaction

from entities.models import ServiceConfig
from intelligence.vocabulary import TaskType

KEY = "models_in_use"


@dataclass(frozen=True)
class Choice:
    """Of `manage.py models use`."""

    task: TaskType
    name: str
    """Of the model's folder, or `baseline`."""
    family: str
    """How it is fed, where that had to be said."""
    model: str
    """The name that its results carry, with the hash of its content."""
    switch_when_done: bool = False
    """Searches shall read it as soon as it has a vector of everything."""


def read() -> tuple[Choice, ...]:
    """Of each task the newest first."""
    row = ServiceConfig.objects.filter(key=KEY).first()
    told: Any = row.value if row is not None else []
    return tuple(_choice(**each) for each in told if isinstance(each, dict))


@transaction.atomic
def choose(choice: Choice, *, keep: Iterable[str], by: str | None) -> None:
    """It leads from now on. Those of its task whose models are to be kept stay beside it; the rest go."""
    row, _ = ServiceConfig.objects.select_for_update().get_or_create(key=KEY, defaults={"value": []})
    kept = set(keep) - {choice.model}
    stay = [each for each in read() if each.task != choice.task or each.model in kept]
    row.value = [asdict(each) for each in (choice, *stay)]
    row.updated_by = by
    row.save()


@transaction.atomic
def switched(task: TaskType) -> None:
    """Nothing is left to be switched when it is done."""
    row = ServiceConfig.objects.select_for_update().filter(key=KEY).first()
    if row is not None:
        row.value = [
            {**asdict(each), "switch_when_done": each.switch_when_done and each.task != task}
            for each in read()
        ]
        row.save()


def _choice(task: str, name: str, family: str, model: str, **more: Any) -> Choice:
    return Choice(TaskType(task), name, family, model, bool(more.get("switch_when_done")))
