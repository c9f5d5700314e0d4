"""Jobs of several images that a model looks at together, where that takes less time than one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from intelligence.compute.base import ModelInfo
from intelligence.compute.image_models import EmbedsTogether, ImageModels, KnowsTogether
from intelligence.compute.picture import Pixels
from intelligence.vocabulary import TaskType


@dataclass(frozen=True)
class Prepared:
    """A job that needs its picture no more."""

    job_id: str
    task: TaskType
    model: ModelInfo
    engine: EmbedsTogether
    pixels: Pixels
    seconds: float
    """What it took so far."""


class Together:
    """Keeps what is prepared until there is enough of it: some hundred kilobytes for each image, of no more
    than `at_once` for each model."""

    def __init__(self, run: Callable[[Sequence[Prepared]], None]) -> None:
        self._run = run
        self._waiting: dict[tuple[TaskType, str], list[Prepared]] = {}

    def add(self, prepared: Prepared) -> None:
        key = (prepared.task, prepared.model.name)
        waiting = self._waiting.setdefault(key, [])
        waiting.append(prepared)
        if len(waiting) >= prepared.engine.at_once:
            self._run(self._waiting.pop(key))

    def end(self) -> None:
        """Runs whatever still waits."""
        while self._waiting:
            self._run(self._waiting.popitem()[1])


def engine_of_several(models: ImageModels, task: TaskType, model: str) -> EmbedsTogether | None:
    """None where it takes one image at a time."""
    return models.together(task, model) if isinstance(models, KnowsTogether) else None


def images_together(models: ImageModels) -> int:
    """So many images at once save time with some of the models; 1 where they do with none."""
    offered = models.capabilities()
    engines = [
        engine_of_several(models, task, name) for task in offered.models for name in offered.offered(task)
    ]
    return max((engine.at_once for engine in engines if engine is not None), default=1)
