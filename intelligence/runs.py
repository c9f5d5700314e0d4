"""Running local jobs, several images at a time: a message and a transaction for each cost too much."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from intelligence import hints, rows
from intelligence.compute.base import RunsJobs
from intelligence.models import EntityJob

IMAGES_PER_RUN = 6
TELL_SECONDS = 0.1
"""No result waits longer than this for those of the images after it."""


def together(jobs: Iterable[EntityJob]) -> Iterator[list[str]]:
    """The ids of jobs to be started with one message. Those of one image are: it is decoded once for them.

    An image whose run has died before is alone: if that was its doing, no other dies with it.
    """
    fresh: dict[int, list[str]] = {}
    tried: dict[int, list[str]] = {}
    for job in jobs:
        (tried if job.attempts else fresh).setdefault(job.entity_id, []).append(job.job_id or "")
    images = list(fresh.values())
    for start in range(0, len(images), IMAGES_PER_RUN):
        yield [job_id for image in images[start : start + IMAGES_PER_RUN] for job_id in image]
    yield from tried.values()


def run(client: RunsJobs, job_ids: Sequence[str]) -> None:
    """Another delivery of the same ids finds none of them queued."""
    ended: list[str] = []
    told = time.monotonic()
    for of_image in rows.claim_for_run(job_ids):
        client.run(of_image)
        ended += of_image
        if time.monotonic() - told > TELL_SECONDS:
            hints.finish_jobs(ended)
            ended, told = [], time.monotonic()
    hints.finish_jobs(ended)
