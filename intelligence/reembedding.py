"""Looking at images with a further model in the background, so that one can switch to it some day."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Min

from entities import locks
from intelligence import model_versions
from intelligence.disagreements import Span
from intelligence.jobs import DISPATCH_LOCK, JobSubmissionService, lease, waiting_rows
from intelligence.models import EntityJob, Face, ImageIntelligence, ModelVersion
from intelligence.pauses import paused_tasks
from intelligence.vocabulary import TaskType

STRETCH = 5_000
"""Images or faces looked through at once for what was not asked for yet."""
STRETCHES = 20
"""In one go; the next one carries on from there."""

Subject = ImageIntelligence | Face


@dataclass(frozen=True)
class Reembedding:
    """Nothing of it shows on the rows of the images; what it has asked for are its jobs."""

    jobs: JobSubmissionService

    def dispatch(self) -> int:
        """Hands out as much as there is room for, where no fresh upload waits for the same task; answers how
        many jobs that were."""
        if not self.jobs.models.beside():
            return 0
        claimed = self._claim()
        self.jobs.submit(claimed)
        return len(claimed)

    def look_again(self, span: Span) -> None:
        """Goes back to the first in the span that was not asked for: one whose content has changed, that came
        out of the trash, or that was committed late.
        """
        for version in self.jobs.models.beside():
            field = "entity_id" if version.task_type == TaskType.FACE_EMBEDDING else "pk"
            found = model_versions.lacking(version).filter(span.of(field))
            first: int | None = found.aggregate(first=Min("pk"))["first"]
            if first is not None:
                go_back(version, first)

    @transaction.atomic
    def _claim(self) -> list[EntityJob]:
        locks.hold(DISPATCH_LOCK)
        paused = paused_tasks()
        return [
            job
            for version in self.jobs.models.beside()
            if (task := TaskType(version.task_type)) not in paused and not waiting_rows(task).exists()
            for job in self._ask_for(version)
        ]

    def _ask_for(self, version: ModelVersion) -> list[EntityJob]:
        live = EntityJob.objects.live().filter(background=True, task_type=version.task_type)
        room = max(1, self.jobs.max_outstanding // 2) - live.count()
        if room <= 0:
            return []
        found, version.asked_up_to = _next(version, room)
        version.save(update_fields=["asked_up_to", "updated_at"])
        return EntityJob.objects.bulk_create(_jobs(version, found, self.jobs.client.backend))


def go_back(version: ModelVersion, first: int) -> None:
    """What lies from `first` on is looked through once more."""
    behind = ModelVersion.objects.filter(pk=version.pk, asked_up_to__gte=first)
    behind.update(asked_up_to=first - 1)


def _next(version: ModelVersion, room: int) -> tuple[list[Subject], int]:
    """At most so many, and up to where that is all."""
    everything = model_versions.subjects(TaskType(version.task_type)).order_by("pk")
    lacking = model_versions.lacking(version).order_by("pk")
    found: list[Subject] = []
    seen = version.asked_up_to
    for _ in range(STRETCHES):
        stretch = list(everything.filter(pk__gt=seen).values_list("pk", flat=True)[:STRETCH])
        if not stretch:
            break
        part = lacking.filter(pk__gt=seen, pk__lte=stretch[-1])
        found += part.select_related("entity__intelligence")[: room - len(found)]
        if len(found) == room:
            return found, found[-1].pk
        seen = stretch[-1]
    return found, seen


def _jobs(version: ModelVersion, found: Iterable[Subject], backend: str) -> Iterable[EntityJob]:
    for each in found:
        row = each.entity.intelligence if isinstance(each, Face) else each
        yield EntityJob(
            entity_id=row.pk,
            face=each if isinstance(each, Face) else None,
            task_type=version.task_type,
            md5=row.md5,
            model=version.model,
            background=True,
            backend=backend,
            not_before=lease(),
        )
