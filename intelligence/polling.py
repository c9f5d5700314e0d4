"""What makes true what a compute service's events make fast: it is asked about its jobs until they end.

A failed job sends no event, and any event may be lost.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.utils import timezone

from intelligence import hints
from intelligence.compute.base import ComputeClient
from intelligence.models import EntityJob
from intelligence.vocabulary import JobStatus

BATCH_SIZE = 100
SHORTEST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(seconds=60)
PART_OF_AGE = 4
"""The next question waits for this part of the time the job has taken so far: the longer, the less often."""


@dataclass(frozen=True)
class JobPoller:
    client: ComputeClient

    def poll(self) -> int:
        """Asks for the jobs that are due, those due longest first; answers how many. Safe to run at once:
        each job is taken by one.
        """
        if self.client.runs_here:
            return 0
        due = [job for job in _due_jobs() if _take(job)]
        for job in due:  # one by one: each asks the service, which may be slow
            hints.finish_jobs([job.job_id or ""])
        return len(due)


def _due_jobs() -> list[EntityJob]:
    now = timezone.now()
    due = Q(not_before__lte=now) | Q(not_before__isnull=True)
    handed_in = EntityJob.objects.filter(
        due,
        status__in=(JobStatus.QUEUED, JobStatus.IN_PROGRESS),
        job_id__isnull=False,
        updated_at__lte=now - SHORTEST_WAIT,
    )
    return list(handed_in.order_by(F("not_before").asc(nulls_first=True), "pk")[:BATCH_SIZE])


def _take(job: EntityJob) -> bool:
    same = EntityJob.objects.filter(pk=job.pk, status=job.status, not_before=job.not_before)
    return bool(same.update(not_before=_next_time(job)))


def _next_time(job: EntityJob) -> datetime:
    now = timezone.now()
    age = now - (job.started_at or job.created_at)
    wait = min(LONGEST_WAIT, max(SHORTEST_WAIT, age / PART_OF_AGE))
    return now + wait * random.uniform(0.8, 1.2)  # noqa: S311  (so that they do not all come at once)
