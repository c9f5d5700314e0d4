"""Running local jobs, several images at a time: a message and a transaction for each cost too much."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

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
WORKERS = os.cpu_count() or 1
"""That look at images on a machine, as advised: one on each processor."""
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
    if first:
        first += _claim_company(client)
    ended = [job_id for some in _in_groups(first, client) for job_id in _run(client, some)]
    claimed = set(chain.from_iterable(first))
    rest = [job_id for job_id in job_ids if job_id not in claimed]
    if rest and time.monotonic() - began > QUICK_SECONDS * max(1, len(first)):
        _leave_to_others(rest)
    else:
        for some in _in_groups(rows.claim_for_run(rest) if rest else (), client):
            if time.monotonic() - began > TELL_SECONDS:
                hints.finish_jobs(ended)
                ended, began = [], time.monotonic()
            ended += _run(client, some)
    hints.finish_jobs(ended)


def _claim_company(client: RunsJobs) -> list[list[str]]:
    """Jobs of a few more images, to be looked at together with one that is claimed: where some model gains by
    that, and more wait than all workers of this machine take at once. With less to do, whoever is free takes
    each, and nobody waits for another's: so it is always with more processors than the jobs handed out
    (COMPUTE_JOBS_OUTSTANDING) make batches for. The messages that ask for these jobs find none queued.
    """
    if client.images_together == 1:
        return []
    queued = EntityJob.objects.live().filter(status=JobStatus.QUEUED, backend=client.backend, attempts=0)
    waiting = list(dict.fromkeys(queued.order_by("pk").values_list("entity_id", flat=True)))
    if len(waiting) < WORKERS * client.images_together:
        return []
    company = queued.filter(entity_id__in=waiting[: client.images_together - 1])
    return rows.claim_for_run([job_id or "" for job_id in company.values_list("job_id", flat=True)])


def _in_groups(images: Sequence[Sequence[str]], client: RunsJobs) -> Iterator[list[str]]:
    """The jobs of as many images as some model gains by. One whose run has died before is alone."""
    tried: set[str | None] = set()
    if len(images) > 1 and client.images_together > 1:
        claimed = EntityJob.objects.filter(job_id__in=chain.from_iterable(images))
        tried.update(claimed.filter(attempts__gt=1).values_list("job_id", flat=True))
    fresh = [of_image for of_image in images if tried.isdisjoint(of_image)]
    for start in range(0, len(fresh), client.images_together):
        yield list(chain.from_iterable(fresh[start : start + client.images_together]))
    yield from (list(of_image) for of_image in images if not tried.isdisjoint(of_image))


def _run(client: RunsJobs, job_ids: Sequence[str]) -> list[str]:
    """Answers those that do not run again."""
    try:
        client.run(job_ids)
    except RunDiedError as error:
        logger.warning("A run of %s ended without an answer: %s", ", ".join(error.job_ids), error)
        lost = EntityJob.objects.filter(job_id__in=error.job_ids)
        again = run_again(lost, settings.COMPUTE_JOB_ATTEMPTS, f" {error}")
        for alone in together(again):
            hints.infer(alone)
        return [job_id for job_id in job_ids if job_id not in error.job_ids]
    return list(job_ids)


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
