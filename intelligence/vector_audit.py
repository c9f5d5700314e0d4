"""Brings the vectors back to what the rows say: what was lost is asked for again, what was dropped goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from entities.models import Entity, ServiceConfig
from intelligence import model_versions, reembedding, rows
from intelligence.model_versions import State, VersionError
from intelligence.models import Face, ImageIntelligence, ModelVersion
from intelligence.vocabulary import JobStatus, Priority, TaskType
from intelligence.wanted_models import BY_CONFIGURATION, WantedModels
from vectors import QdrantVectorStore

MARKS_KEY = "vectors_swept_up_to"
SPAN = 20_000
"""Ids that one sweep looks at, of each task."""
BATCH_SIZE = 500
SHOWN_ORPHANS = 20
LOST = "Its vector was lost."


@dataclass(frozen=True)
class Found:
    """In a span of ids of images, or of faces."""

    vectors: int
    lost: tuple[int, ...]
    orphans: tuple[int, ...]
    """Vectors of nothing that is there."""
    last: int | None
    """Of the span; None where nothing follows."""


@dataclass(frozen=True)
class Health:
    """Of all vectors of one model."""

    task: TaskType
    model: str
    state: str
    vectors: int
    lost: int
    asked_again: int
    orphans: int
    first_orphans: tuple[int, ...]


@dataclass(frozen=True)
class VectorAudit:
    models: WantedModels

    def sweep(self) -> int:
        """Looks at the next span; answers how much was asked for again."""
        self.follow_changes()
        marks = self._marks()
        asked = 0
        for version in model_versions.kept():
            mark = f"{version.task_type} {version.model}"
            found = self.look(version, marks.get(mark, -1))
            asked += self.ask_again(version, found.lost)
            marks[mark] = -1 if found.last is None else found.last
        ServiceConfig.objects.update_or_create(key=MARKS_KEY, defaults={"value": marks})
        return asked

    def check(self, tasks: frozenset[TaskType] = frozenset(TaskType), *, mend: bool) -> list[Health]:
        """All of it, at once; what is lost is asked for again only where it is to be mended."""
        self.models.wanted()  # writes them down where nobody has yet
        return [
            self._check(version, mend=mend) for version in model_versions.kept() if version.task_type in tasks
        ]

    def look(self, version: ModelVersion, after: int) -> Found:
        """The rows are read before the vectors, which are written before the rows say so: what is found lost
        has been there, and is gone."""
        task = TaskType(version.task_type)
        everything = (Face if task is TaskType.FACE_EMBEDDING else Entity).objects.order_by("pk")
        ids = everything.filter(pk__gt=after).values_list("pk", flat=True)
        last = ids[SPAN - 1 : SPAN].first()
        span = {"pk__gt": after} if last is None else {"pk__gt": after, "pk__lte": last}
        expected = set(model_versions.done(version).filter(**span).values_list("pk", flat=True))
        there = set(self.store_of(version).ids(after=after, last=last, model=version.model))
        owners = Face if task is TaskType.FACE_EMBEDDING else ImageIntelligence
        suspects = sorted(there - expected)
        owned = {
            pk
            for batch in _batches(suspects)
            for pk in owners.objects.filter(pk__in=batch).values_list("pk", flat=True)
        }
        orphans = tuple(pk for pk in suspects if pk not in owned)
        return Found(len(there), tuple(sorted(expected - there)), orphans, last)

    def _check(self, version: ModelVersion, *, mend: bool) -> Health:
        vectors = lost = asked = 0
        orphans: list[int] = []
        after: int | None = -1
        while after is not None:
            found = self.look(version, after)
            vectors, lost = vectors + found.vectors, lost + len(found.lost)
            orphans += found.orphans
            asked += self.ask_again(version, found.lost) if mend else 0
            after = found.last
        return Health(
            TaskType(version.task_type),
            version.model,
            version.state,
            vectors,
            lost,
            asked,
            len(orphans),
            tuple(orphans[:SHOWN_ORPHANS]),
        )

    def ask_again(self, version: ModelVersion, lost: tuple[int, ...]) -> int:
        """The jobs that brought them count no more; who leads is asked for by the rows of the images."""
        task = TaskType(version.task_type)
        leads = version.model == self.models.wanted()[task][0]
        for batch in _batches(lost):
            with transaction.atomic():
                gone = model_versions.completed_jobs(version, batch)
                gone.update(status=JobStatus.DISCARDED, error_message=LOST, updated_at=timezone.now())
                if leads:
                    rows.make_pending(_images(task, batch), task, Priority.REDO)
                else:
                    reembedding.go_back(version, batch[0])
        return len(lost)

    def follow_changes(self) -> None:
        """The rows decide; the alias and the collections follow."""
        for version in model_versions.kept().filter(state=State.CURRENT):
            store = self.store_of(version)
            if version.model in store.models() and version.model != store.alias_model():
                store.switch(version.model)
            self._replace_unoffered(version)
        for version in ModelVersion.objects.filter(state=State.DROPPED):
            store = self.store_of(version)
            if version.model in store.models() and version.model != store.alias_model():
                store.drop(version.model)

    def _replace_unoffered(self, current: ModelVersion) -> None:
        """Nobody can look at an image with it any more: once its successor lacks nothing, that is read."""
        task = TaskType(current.task_type)
        if current.model not in self.models.wanted()[task]:
            try:
                model_versions.switch(task, by=BY_CONFIGURATION)
            except VersionError:
                return  # not yet

    def store_of(self, version: ModelVersion) -> QdrantVectorStore:
        return self.models.stores[TaskType(version.task_type)]

    def _marks(self) -> dict[str, int]:
        found: Mapping[str, Any] = ServiceConfig.objects.filter(key=MARKS_KEY).values("value").first() or {}
        return dict(found.get("value") or {})


def _images(task: TaskType, ids: list[int]) -> list[int]:
    if task is not TaskType.FACE_EMBEDDING:
        return ids
    return list(Face.objects.filter(pk__in=ids).order_by().values_list("entity_id", flat=True).distinct())


def _batches(ids: tuple[int, ...] | list[int]) -> Iterator[list[int]]:
    return (list(ids[start : start + BATCH_SIZE]) for start in range(0, len(ids), BATCH_SIZE))
