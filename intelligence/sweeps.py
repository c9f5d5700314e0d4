"""What makes true what the events make fast: each sweep is small, and safe to run twice or at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone

from entities.models import Entity
from intelligence import hints, rows
from intelligence.compute.base import ComputeClient
from intelligence.jobs import JobSubmissionService
from intelligence.models import EntityJob, ImageIntelligence
from intelligence.reconcile import MInsightProcessor
from intelligence.vocabulary import IMAGE_TASKS, LIVE_JOB_STATUSES, JobStatus, ProcessingStatus, TaskType

SILENCE_SECONDS = 30
"""A job that nothing was heard of for this long is asked about again."""
RUN_DEADLINE_SECONDS = 600
"""A run that takes longer than a task may has died with its worker."""
BATCH_SIZE = 500


@dataclass(frozen=True)
class Sweeper:
    client: ComputeClient
    jobs: JobSubmissionService
    processor: MInsightProcessor

    def sweep_jobs(self) -> None:
        self.jobs.submit(self._touch(_silent(JobStatus.PENDING, SILENCE_SECONDS)))
        self._requeue_runs(_silent(JobStatus.IN_PROGRESS, RUN_DEADLINE_SECONDS))
        queued = self._touch(_silent(JobStatus.QUEUED, SILENCE_SECONDS))
        self._start(queued)
        for job in queued:
            hints.finish_job(job.job_id or "")
        self._settle_rows()

    def recover_interrupted(self) -> None:
        """At the start of the only process: whatever was running here has died with the one before."""
        waiting = list(EntityJob.objects.filter(status=JobStatus.QUEUED))
        self._requeue_runs(EntityJob.objects.filter(status=JobStatus.IN_PROGRESS))
        self._start(waiting)
        self.jobs.submit(EntityJob.objects.filter(status=JobStatus.PENDING).select_related("face"))
        self._settle_rows()

    def _requeue_runs(self, died: Iterable[EntityJob]) -> None:
        """A run that has died too often is the image's doing; it must not be tried for ever."""
        again = []
        for job in died:
            if job.attempts >= self.jobs.max_attempts:
                rows.fail_job(job, f"Given up: {job.attempts} runs ended without an answer.")
            elif EntityJob.objects.filter(pk=job.pk, status=JobStatus.IN_PROGRESS).update(
                status=JobStatus.QUEUED, updated_at=timezone.now()
            ):
                again.append(job)
        self._start(again)

    def _start(self, jobs: Iterable[EntityJob]) -> None:
        """The jobs of an image together: it is decoded once for all of them."""
        of_image: dict[int, list[str]] = defaultdict(list)
        for job in jobs:
            of_image[job.entity_id].append(job.job_id or "")
        for job_ids in of_image.values():
            self.client.start(job_ids)

    def sweep_images(self) -> int:
        """Live images without a row, with a row of other content, or with work that nobody was asked for."""
        behind = _without_current_row()
        self.processor.reconcile_entities(behind)
        lacking = set(_unfinished_without_jobs())
        for task in IMAGE_TASKS:
            lacking.update(_without_job_of(task, self.jobs.model_of(task)))
        return len(behind) + rows.make_pending(lacking)

    def _touch(self, silent: Iterable[EntityJob]) -> list[EntityJob]:
        """So that the next sweep leaves them alone for a while."""
        found = list(silent)
        EntityJob.objects.filter(pk__in=[job.pk for job in found]).update(updated_at=timezone.now())
        return found

    def _settle_rows(self) -> None:
        stuck = ImageIntelligence.objects.filter(
            processing_status=ProcessingStatus.PROCESSING,
            updated_at__lt=timezone.now() - timedelta(seconds=SILENCE_SECONDS),
        ).exclude(entity__jobs__status__in=LIVE_JOB_STATUSES)
        for entity_id in stuck.values_list("pk", flat=True)[:BATCH_SIZE]:
            rows.settle(entity_id)


def _silent(status: JobStatus, seconds: int) -> Iterable[EntityJob]:
    now = timezone.now()
    due = Q(not_before__isnull=True) | Q(not_before__lte=now)
    silent = EntityJob.objects.filter(due, status=status, updated_at__lt=now - timedelta(seconds=seconds))
    return silent.select_related("face").order_by("updated_at")[:BATCH_SIZE]


def _without_current_row() -> list[int]:
    pictures = Entity.objects.live().images().filter(width__isnull=False)
    behind = pictures.filter(Q(intelligence__isnull=True) | ~Q(intelligence__md5=F("md5")))
    return list(behind.order_by("pk").values_list("pk", flat=True)[:BATCH_SIZE])


def _without_job_of(task: TaskType, model: str) -> list[int]:
    """Ended, but never asked of the model that answers this task now."""
    asked = EntityJob.objects.filter(
        entity=OuterRef("pk"), task_type=task, md5=OuterRef("md5"), model=model
    ).exclude(status=JobStatus.DISCARDED)
    ended = ImageIntelligence.objects.filter(
        processing_status__in=(ProcessingStatus.COMPLETED, ProcessingStatus.FAILED), entity__is_deleted=False
    )
    return list(ended.filter(~Exists(asked)).values_list("pk", flat=True)[:BATCH_SIZE])


def _unfinished_without_jobs() -> list[int]:
    """Processing, but nothing is under way and not all that is needed has ended."""
    idle = ImageIntelligence.objects.filter(
        processing_status=ProcessingStatus.PROCESSING,
        entity__is_deleted=False,
        updated_at__lt=timezone.now() - timedelta(seconds=RUN_DEADLINE_SECONDS),
    ).exclude(entity__jobs__status__in=LIVE_JOB_STATUSES)
    return list(idle.values_list("pk", flat=True)[:BATCH_SIZE])
