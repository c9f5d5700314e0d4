"""Two models of one task, and the photos that both look at."""

from __future__ import annotations

from intelligence.models import ModelVersion
from intelligence.vocabulary import TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline
from vectors import (
    get_clip_store,
)

CLIP, FACE = TaskType.CLIP_EMBEDDING, TaskType.FACE_EMBEDDING
OLD, NEW = "fake-clip-512", "fake2-clip-512"
OLD_FACES, NEW_FACES = "fake-face-512", "fake2-face-512"


def version(model: str) -> ModelVersion:
    return ModelVersion.objects.get(model=model)


def ids(model: str | None = None) -> set[int]:
    return {each.id for each in get_clip_store().scroll(model=model)}


def photos(pipeline: Pipeline, number: int = 3) -> set[int]:
    made = {make_photo(seed).pk for seed in range(number)}
    pipeline.work()
    return made


def begin(pipeline: Pipeline, task: TaskType = CLIP, model: str = NEW) -> None:
    pipeline.processing.jobs.models.begin(task, model, by="Ada")
    pipeline.work()
