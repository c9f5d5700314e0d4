"""What makes true what the events make fast: each sweep is small, and safe to run twice or at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from intelligence import disagreements, hints, rows, runs
from intelligence.compute.base import ComputeClient, JobState, UnknownJobError
from intelligence.disagreements import Span
from intelligence.jobs import JobSubmissionService
from intelligence.models import EntityJob, EntitySyncState, ImageIntelligence
from intelligence.reconcile import MInsightProcessor
from intelligence.reembedding import Reembedding
from intelligence.vocabulary import HANDED_OVER, JobStatus, Priority, ProcessingStatus

SILENCE_SECONDS = settings.JOB_SILENCE_SECONDS
"""A job that nothing was heard of for this long is asked about again."""
RUN_DEADLINE_SECONDS = settings.COMPUTE_JOB_DEADLINE_SECONDS
"""A run that takes longer than a task may has died with its worker."""
BATCH_SIZE = 500
SPAN = 20_000
"""Entities that one sweep looks at; the next goes on from there: its cost does not grow with the store."""


@dataclass(frozen=True)
class Sweeper:
    client: ComputeClient
    jobs: JobSubmissionService
    processor: MInsightProcessor
    reembedding: Reembedding

    def sweep_jobs(self) -> None:
        """Jobs that wait to be submitted are not here: dispatch takes them up; the poller asks a service."""
        if self.client.runs_here:
            self._take_up_runs(_silent(JobStatus.IN_PROGRESS, SILENCE_SECONDS), RUN_DEADLINE_SECONDS)
            queued = self._touch(_silent(JobStatus.QUEUED, SILENCE_SECONDS))
            self._start(queued)
            hints.finish_jobs([job.job_id or "" for job in queued])
        self._settle_rows()

    def recover_interrupted(self) -> None:
        """At the start of the only process: whatever was running here has died with the one before."""
        if self.client.runs_here:
            waiting = list(EntityJob.objects.live().filter(status=JobStatus.QUEUED))
            self._take_up_runs(EntityJob.objects.live().filter(status=JobStatus.IN_PROGRESS), 0.0)
            self._start(waiting)
        EntityJob.objects.live().filter(status=JobStatus.PENDING).update(not_before=None)
        self._settle_rows()

    def _take_up_runs(self, silent: Iterable[EntityJob], deadline_seconds: float) -> None:
        """Of a run that ended, only the news was lost; one that did not by its deadline has died."""
        oldest = timezone.now() - timedelta(seconds=deadline_seconds)
        ended, died = [], []
        for job in silent:
            if self._has_ended(job):
                ended.append(job.job_id or "")
            elif job.updated_at <= oldest:
                died.append(job)
        hints.finish_jobs(ended)
        self._start(runs.run_again(died, self.jobs.max_attempts))

    def _has_ended(self, job: EntityJob) -> bool:
        try:
            return self.client.get(job.job_id or "").state is not JobState.QUEUED
        except UnknownJobError:
            return True  # so far as it will ever be

    def _start(self, jobs: Iterable[EntityJob]) -> None:
        for job_ids in runs.together(jobs):
            self.client.start(job_ids)

    def sweep_images(self) -> int:
        """Looks at the next span of images for work that nobody is at; answers how much it found."""
        state, _ = EntitySyncState.objects.get_or_create(pk=1)
        span = Span.after(state.swept_up_to, SPAN)
        found = self._bring_rows(span) + self._ask_for_missing(span) + self._mend_rows(span)
        self.reembedding.look_again(span)
        EntitySyncState.objects.update(swept_up_to=span.last or 0)
        return found

    def _bring_rows(self, span: Span) -> int:
        behind = disagreements.without_current_row(span)
        for batch in _batches(behind):
            self.processor.reconcile_entities(batch, Priority.BACKFILL)
        return len(behind)

    def _ask_for_missing(self, span: Span) -> int:
        """Of what is done or given up already, also where the model is another one now."""
        found = sum(rows.resume(batch) for batch in _batches(disagreements.dropped(span)))
        for task, models in self.jobs.models.wanted().items():
            for entity_ids in _batches(disagreements.without_result(span, task, models[0])):
                found += rows.make_pending(entity_ids, task, Priority.REDO)
        return found

    def _mend_rows(self, span: Span) -> int:
        disagreements.count_faces_again(span)
        torn = disagreements.torn_from_their_jobs(span)
        for entity_id in torn:
            rows.mirror_jobs(entity_id)
        return len(torn)

    def _touch(self, silent: Iterable[EntityJob]) -> list[EntityJob]:
        """So that the next sweep leaves them alone for a while."""
        found = list(silent)
        EntityJob.objects.filter(pk__in=[job.pk for job in found]).update(updated_at=timezone.now())
        return found

    def _settle_rows(self) -> None:
        """Rows whose last job ended without anybody noticing, or whose work is paused by now."""
        silent = ImageIntelligence.objects.filter(
            processing_status=ProcessingStatus.PROCESSING,
            updated_at__lt=timezone.now() - timedelta(seconds=SILENCE_SECONDS),
        )
        idle = silent.exclude(entity__jobs__status__in=HANDED_OVER).order_by("updated_at")
        for entity_id in idle.values_list("pk", flat=True)[:BATCH_SIZE]:
            rows.settle(entity_id)


def _silent(status: JobStatus, seconds: float) -> Iterable[EntityJob]:
    before = timezone.now() - timedelta(seconds=seconds)
    silent = EntityJob.objects.live().filter(status=status, updated_at__lt=before)
    return silent.order_by("updated_at")[:BATCH_SIZE]


def _batches(entity_ids: list[int]) -> Iterable[list[int]]:
    return (entity_ids[start : start + BATCH_SIZE] for start in range(0, len(entity_ids), BATCH_SIZE))
