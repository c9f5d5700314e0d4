"""Running local jobs, several images at a time: a message and a transaction for each cost too much."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence

from django.conf import settings
from django.utils import timezone

from intelligence import hints, rows
from intelligence.compute.base import RunDiedError, RunsJobs
from intelligence.models import EntityJob
from intelligence.vocabulary import JobStatus

logger = logging.getLogger(__name__)

IMAGES_PER_RUN = 16
"""The price of a message, a claim and a transaction is shared by so many, as long as each takes little."""
QUICK_SECONDS = 0.1
"""Where the first image takes longer, the others do not wait for one another: whoever is free takes each."""
TELL_SECONDS = 0.25
"""No result waits longer than this for those of the images after it."""


def together(jobs: Iterable[EntityJob], images_per_run: int = IMAGES_PER_RUN) -> Iterator[list[str]]:
    """The ids of jobs to be started with one message. Those of one image are: it is decoded once for them.

    An image whose run has died before is alone: if that was its doing, no other dies with it.
    """
    fresh: dict[int, list[str]] = {}
    tried: dict[int, list[str]] = {}
    for job in jobs:
        (tried if job.attempts else fresh).setdefault(job.entity_id, []).append(job.job_id or "")
    images = list(fresh.values())
    for start in range(0, len(images), images_per_run):
        yield [job_id for image in images[start : start + images_per_run] for job_id in image]
    yield from tried.values()


def run(client: RunsJobs, job_ids: Sequence[str]) -> None:
    """Another delivery of the same ids finds none of them queued."""
    began = time.monotonic()
    first = rows.claim_for_run(job_ids, images=1)
    ended = [job_id for of_image in first for job_id in _run_image(client, of_image)]
    claimed = {job_id for of_image in first for job_id in of_image}
    rest = [job_id for job_id in job_ids if job_id not in claimed]
    if rest and time.monotonic() - began > QUICK_SECONDS:
        _leave_to_others(rest)
    else:
        for of_image in rows.claim_for_run(rest) if rest else ():
            if time.monotonic() - began > TELL_SECONDS:
                hints.finish_jobs(ended)
                ended, began = [], time.monotonic()
            ended += _run_image(client, of_image)
    hints.finish_jobs(ended)


def _run_image(client: RunsJobs, of_image: Sequence[str]) -> list[str]:
    """Answers those that do not run again."""
    try:
        client.run(of_image)
    except RunDiedError as error:
        logger.warning("A run of %s ended without an answer: %s", ", ".join(error.job_ids), error)
        lost = EntityJob.objects.filter(job_id__in=error.job_ids)
        again = run_again(lost, settings.COMPUTE_JOB_ATTEMPTS, f" {error}")
        for job_ids in together(again):
            hints.infer(job_ids)
        return [job_id for job_id in of_image if job_id not in error.job_ids]
    return list(of_image)


def run_again(died: Iterable[EntityJob], max_attempts: int, why: str = "") -> list[EntityJob]:
    """Those that are queued again. A run that has died too often is the image's doing; it must not be tried
    for ever."""
    again = []
    for job in died:
        if job.attempts >= max_attempts:
            rows.fail_job(job, f"Given up: {job.attempts} runs ended without an answer.{why}")
            hints.finish_jobs([job.job_id or ""])  # nothing of it shall stay behind
        elif EntityJob.objects.filter(pk=job.pk, status=JobStatus.IN_PROGRESS).update(
            status=JobStatus.QUEUED, updated_at=timezone.now()
        ):
            again.append(job)
    return again


def _leave_to_others(job_ids: Sequence[str]) -> None:
    waiting = EntityJob.objects.filter(job_id__in=job_ids, status=JobStatus.QUEUED)
    for of_image in together(waiting, images_per_run=1):
        hints.infer(of_image)
