"""What happens when jobs have ended: is the result still wanted? Then apply it, and only then say so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from entities import locks, tallies, trail
from intelligence import hints, model_versions, rows
from intelligence.appliers import Applier, Completed, ResultError
from intelligence.compute.base import (
    ComputeClient,
    ComputeError,
    ComputeUnavailableError,
    JobReport,
    JobResult,
    JobState,
    UnknownJobError,
)
from intelligence.facts import image_facts
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
    queue_deadline: timedelta
    """A job that waits there for longer is taken back: it holds a place that others could have."""
    delete_ended: bool
    """On the service, which needs them no more."""

    def finish_jobs(self, job_ids: Sequence[str]) -> None:
        """May run twice, late or out of order. Raises what may pass (a store that is away, a full disk): then
        what has changed is right, and running it again is too.
        """
        found = EntityJob.objects.select_related("face").filter(job_id__in=job_ids)
        jobs = {job.job_id: job for job in found}
        completed: list[Completed] = []
        for job_id in job_ids:
            job = jobs.get(job_id)
            if job is None or job.status not in LIVE_JOB_STATUSES:
                # Nobody wants it any more; unless it is only kept there to be looked at.
                self._forget(job_id, is_over=job is not None and job.status != JobStatus.DISCARDED)
            elif (result := self._result_of(job)) is not None:
                completed.append((job, result))
        if completed:
            self._complete(completed)

    def _result_of(self, job: EntityJob) -> JobResult | None:
        """None where there is none; then what there is instead has been acted upon."""
        try:
            report = self.client.get(job.job_id or "")
        except UnknownJobError as error:
            self.jobs.put_off(job, f"{error} It is submitted again.")
        except ComputeUnavailableError as error:
            logger.info("Job %s will be asked about again: %s", job.job_id, error)
        except ComputeError as error:
            self._end([job], partial(self.jobs.put_off, job, str(error), permanent=error.permanent))
        else:
            self._act_on(job, report)
            return report.result
        return None

    def _act_on(self, job: EntityJob, report: JobReport) -> None:
        if report.state is JobState.RUNNING:
            self._note_running(job)
        elif report.state is JobState.QUEUED and not self.client.runs_here:
            self._mind_the_queue(job)
        elif report.state is JobState.FAILED:
            # The failure is forgotten first: the same key, submitted again, means another try.
            self._end([job], partial(self.jobs.put_off, job, report.error, permanent=report.permanent))

    def _mind_the_queue(self, job: EntityJob) -> None:
        handed_in = job.started_at or job.updated_at  # nothing else changes a job that only waits
        if timezone.now() - handed_in > self.queue_deadline:
            reason = f"Taken back: the compute service did not begin with it within {self.queue_deadline}."
            self._end([job], partial(self.jobs.put_off, job, reason), is_over=False)

    def _note_running(self, job: EntityJob) -> None:
        now = timezone.now()
        if job.started_at is not None and now - job.started_at > self.deadline:
            reason = f"Given up: the compute service was at it for more than {self.deadline}."
            self._end([job], partial(self.jobs.put_off, job, reason), is_over=False)
        elif job.status != JobStatus.IN_PROGRESS:
            rows.move_job(job, JobStatus.IN_PROGRESS, started_at=now)

    def _complete(self, completed: Sequence[Completed]) -> None:
        jobs = [job for job, _ in completed]
        try:
            self._end(jobs, partial(self._apply, completed))
        except (ResultError, InvalidVectorError) as error:
            if len(jobs) == 1:
                self._end(jobs, partial(rows.fail_job, jobs[0], f"The result cannot be used: {error}"))
                return
            for each in completed:  # shows whose fault it was
                self._complete([each])

    def _end(self, jobs: Sequence[EntityJob], change: Callable[[], object], *, is_over: bool = True) -> None:
        with transaction.atomic():
            rows.lock_entities({job.entity_id for job in jobs})
            change()
            if self.client.runs_here:
                # In the transaction, so that nobody can submit the key again before its old answer is gone; a
                # crash in between leaves a live job that compute has forgotten, and that is submitted again.
                for job in jobs:
                    self.client.cancel(job.job_id or "")
        if not self.client.runs_here:
            for job in jobs:
                self._forget(job.job_id or "", is_over=is_over)

    def _forget(self, job_id: str, *, is_over: bool) -> None:
        """A service knows no keys, so that there is no hurry: no lock waits for its answer."""
        if self.client.runs_here:
            self.client.cancel(job_id)
        elif self.delete_ended or not is_over:
            hints.forget_job(job_id)

    def _apply(self, completed: Sequence[Completed]) -> None:
        wanted = self._wanted(completed)
        if unwanted := [job for job, _ in completed if job not in wanted]:
            reason = "The image or the model has changed meanwhile."
            rows.move_jobs(unwanted, JobStatus.DISCARDED, error_message=reason)
        facts = image_facts({job.entity_id for job in wanted})
        for task in TaskType:  # faces are found before they are embedded
            of_task = [(job, result) for job, result in wanted.items() if job.task_type == task]
            if of_task:
                came_along = self.appliers[task].apply(of_task, facts)
                wanted = {**_without_gone(wanted, of_task), **dict(came_along)}
        rows.move_jobs(wanted, JobStatus.COMPLETED, error_message="")
        trail.note("applied", {job.entity_id for job in wanted})
        if not self.client.runs_here:
            transaction.on_commit(partial(_count_answers, list(wanted)))
        rows.settle_locked({job.entity_id for job in wanted})
        transaction.on_commit(self.jobs.dispatch)  # there is room, and faces wait: no way over the broker

    def _wanted(self, completed: Sequence[Completed]) -> dict[EntityJob, JobResult]:
        """The entities are locked: what is true here stays true until the results are applied."""
        jobs = {job.pk: job for job, _ in completed}
        live = dict(EntityJob.objects.live().filter(pk__in=jobs).values_list("pk", "job_id"))
        described = ImageIntelligence.objects.filter(
            pk__in={job.entity_id for job in jobs.values()}, md5=F("entity__md5"), entity__is_deleted=False
        )
        content = dict(described.values_list("pk", "md5"))
        locks.hold(model_versions.LOCK, shared=True)  # what is wanted now is wanted until this is committed
        models = self.jobs.models.wanted()
        return {
            job: result
            for job, result in completed
            if live.get(job.pk) == job.job_id
            and content.get(job.entity_id) == job.md5
            and result.model == job.model
            and job.model in models[TaskType(job.task_type)]
        }


def _without_gone(
    wanted: dict[EntityJob, JobResult], applied: Sequence[Completed]
) -> dict[EntityJob, JobResult]:
    """A detection replaces the faces, and the jobs of those before are gone with them."""
    detected = {job.entity_id for job, _ in applied if job.task_type == TaskType.FACE_DETECTION}
    return {
        job: result for job, result in wanted.items() if job.face_id is None or job.entity_id not in detected
    }


def _count_answers(jobs: Sequence[EntityJob]) -> None:
    """Of a service, by what was seen of it: it does not say how long it took."""
    for job in jobs:
        seconds = (timezone.now() - (job.started_at or job.updated_at)).total_seconds()
        tallies.add("inference", job.task_type, job.model, amount=seconds)
