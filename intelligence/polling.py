"""What makes true what a compute service's events make fast: it is asked about its jobs until they end.

A failed job sends no event, and any event may be lost. Whoever takes a job asks about it at once: with a
message for each question they would pile up faster than busy workers answer them.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import F, Q
from django.utils import timezone

from intelligence import setbacks
from intelligence.compute.base import ComputeClient
from intelligence.models import EntityJob
from intelligence.vocabulary import JobStatus

logger = logging.getLogger(__name__)

MOST_AT_ONCE = 100
TOGETHER = 8
"""Results that share the price of a transaction, as long as each takes little."""
QUICK_SECONDS = 0.5
"""Where asking takes longer, each is asked about alone: many together would outlast a task's time limit."""
LONGEST_SECONDS = 4.0
"""Of one round: what is due still, the next one asks for."""
SHORTEST_WAIT = timedelta(seconds=5)
LONGEST_WAIT = timedelta(seconds=60)
PART_OF_AGE = 4
"""The next question waits for this part of the time the job has taken so far: the longer, the less often."""


@dataclass(frozen=True)
class JobPoller:
    client: ComputeClient
    finish_jobs: Callable[[Sequence[str]], None]

    def poll(self) -> int:
        """Asks for the jobs that are due, those due longest first; answers how many. Safe to run at once:
        each job is taken by one.
        """
        if self.client.runs_here:
            return 0
        asked = 0
        for job_ids in _taken():
            self._finish(job_ids)
            asked += len(job_ids)
        return asked

    def _finish(self, job_ids: Sequence[str]) -> None:
        """What may pass is tried again when the job is due again."""
        try:
            self.finish_jobs(job_ids)
        except Exception as error:
            if len(job_ids) > 1:  # it may be the fault of one
                for job_id in job_ids:
                    self._finish([job_id])
            elif isinstance(error, setbacks.PASSING):
                setbacks.note(job_ids, error)
            else:
                logger.exception("The result of job %s could not be stored", job_ids[0])
                setbacks.give_up(job_ids, error)


def _taken() -> Iterator[list[str]]:
    """The first alone: how long it takes its taker says how many may follow together."""
    now = time.monotonic()
    until = now + LONGEST_SECONDS
    due, together = _due_jobs(), 1
    while due and now <= until:
        taken = [job.job_id or "" for job in due[:together] if _take(job)]
        due = due[together:]
        if taken:
            yield taken
        began, now = now, time.monotonic()
        together = TOGETHER if now - began < QUICK_SECONDS else 1


def _due_jobs() -> list[EntityJob]:
    now = timezone.now()
    due = Q(not_before__lte=now) | Q(not_before__isnull=True)
    handed_in = EntityJob.objects.live().filter(
        due,
        status__in=(JobStatus.QUEUED, JobStatus.IN_PROGRESS),
        job_id__isnull=False,
        updated_at__lte=now - SHORTEST_WAIT,
    )
    return list(handed_in.order_by(F("not_before").asc(nulls_first=True), "pk")[:MOST_AT_ONCE])


def _take(job: EntityJob) -> bool:
    same = EntityJob.objects.filter(pk=job.pk, status=job.status, not_before=job.not_before)
    return bool(same.update(not_before=_next_time(job)))


def _next_time(job: EntityJob) -> datetime:
    now = timezone.now()
    age = now - (job.started_at or job.created_at)
    wait = min(LONGEST_WAIT, max(SHORTEST_WAIT, age / PART_OF_AGE))
    return now + wait * random.uniform(0.8, 1.2)  # noqa: S311  (so that they do not all come at once)
