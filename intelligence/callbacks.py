"""What happens when a job has ended: is the result still wanted? Then apply it, and only then say so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from intelligence import hints, rows
from intelligence.appliers import Applier, ResultError
from intelligence.compute.base import (
    ComputeClient,
    ComputeError,
    ComputeUnavailableError,
    JobReport,
    JobResult,
    JobState,
    UnknownJobError,
)
from intelligence.jobs import JobSubmissionService
from intelligence.models import EntityJob, ImageIntelligence
from intelligence.vocabulary import LIVE_JOB_STATUSES, JobStatus, TaskType
from vectors import InvalidVectorError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobCallbackHandler:
    client: ComputeClient
    jobs: JobSubmissionService
    appliers: Mapping[TaskType, Applier]
    deadline: timedelta
    """A service that is at a job for longer has lost it."""
    delete_ended: bool
    """On the service, which needs them no more."""

    def finish_job(self, job_id: str) -> None:
        """May run twice, late or out of order. Raises what may pass (a store that is away, a full disk): then
        nothing has changed, and running it again is right.
        """
        job = EntityJob.objects.select_related("face").filter(job_id=job_id).first()
        if job is None or job.status not in LIVE_JOB_STATUSES:
            # Nobody wants it any more; unless it is only kept there to be looked at.
            self._forget(job_id, is_over=job is not None and job.status != JobStatus.DISCARDED)
            return
        try:
            report = self.client.get(job_id)
        except UnknownJobError as error:
            self.jobs.put_off(job, f"{error} It is submitted again.")
            return
        except ComputeUnavailableError as error:
            logger.info("Job %s will be asked about again: %s", job_id, error)
            return
        except ComputeError as error:
            self._end(job, partial(self.jobs.put_off, job, str(error), permanent=error.permanent))
            return
        self._act_on(job, report)

    def _act_on(self, job: EntityJob, report: JobReport) -> None:
        if report.state is JobState.RUNNING:
            self._note_running(job)
        elif report.state is JobState.FAILED:
            # The failure is forgotten first: the same key, submitted again, means another try.
            self._end(job, partial(self.jobs.put_off, job, report.error, permanent=report.permanent))
        elif report.result is not None:
            self._complete(job, report.result)

    def _note_running(self, job: EntityJob) -> None:
        now = timezone.now()
        if job.started_at is not None and now - job.started_at > self.deadline:
            reason = f"Given up: the compute service was at it for more than {self.deadline}."
            self._end(job, partial(self.jobs.put_off, job, reason), is_over=False)
        elif job.status != JobStatus.IN_PROGRESS:
            rows.move_job(job, JobStatus.IN_PROGRESS, started_at=now)

    def _complete(self, job: EntityJob, result: JobResult) -> None:
        try:
            self._end(job, partial(self._apply, job, result))
        except (ResultError, InvalidVectorError) as error:
            self._end(job, partial(rows.fail_job, job, f"The result cannot be used: {error}"))

    def _end(self, job: EntityJob, change: Callable[[], object], *, is_over: bool = True) -> None:
        with transaction.atomic():
            rows.lock_entity(job.entity_id)
            change()
            if self.client.runs_here:
                # In the transaction, so that nobody can submit the key again before its old answer is gone; a
                # crash in between leaves a live job that compute has forgotten, and that is submitted again.
                self.client.cancel(job.job_id or "")
        if not self.client.runs_here:
            self._forget(job.job_id or "", is_over=is_over)

    def _forget(self, job_id: str, *, is_over: bool) -> None:
        """A service knows no keys, so that there is no hurry: no lock waits for its answer."""
        if self.client.runs_here:
            self.client.cancel(job_id)
        elif self.delete_ended or not is_over:
            hints.forget_job(job_id)

    def _apply(self, job: EntityJob, result: JobResult) -> None:
        if not self._is_wanted(job, result):
            rows.move_job(
                job, JobStatus.DISCARDED, error_message="The image or the model has changed meanwhile."
            )
            return
        self.appliers[TaskType(job.task_type)].apply(job, result)
        rows.move_job(job, JobStatus.COMPLETED, error_message="")
        rows.settle(job.entity_id)
        if job.task_type == TaskType.FACE_DETECTION:  # its faces, without the way over the broker
            transaction.on_commit(partial(self.jobs.trigger_async_jobs, job.entity_id))

    def _is_wanted(self, job: EntityJob, result: JobResult) -> bool:
        """The entity is locked: what is true here stays true until the result is applied."""
        still_live = EntityJob.objects.live().filter(pk=job.pk, job_id=job.job_id).exists()
        describes_content = ImageIntelligence.objects.filter(
            pk=job.entity_id, md5=job.md5, entity__md5=job.md5, entity__is_deleted=False
        ).exists()
        return still_live and describes_content and result.model == job.model == self._current_model(job)

    def _current_model(self, job: EntityJob) -> str:
        return self.jobs.model_of(TaskType(job.task_type))
