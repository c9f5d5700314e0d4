"""The Celery tasks: thin, idempotent, given ids only.

Each takes and ignores further arguments, so that during a rolling deploy an older worker can run what a
newer one has asked for. A sweep answers how much it has found to mend, for the metrics.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from celery import Task, shared_task

from intelligence import announce, encoding, errands, hints, presence, rows, runs, setbacks, using_models
from intelligence.compute.base import ComputeError
from intelligence.compute.local import SpoolComputeClient
from intelligence.processing import get_processing
from intelligence.recognition.recluster import ReclusterError

logger = logging.getLogger(__name__)

FORGET_RETRIES = 3
FORGET_WAIT_SECONDS = 30
FINISH_LONGEST_WAIT_SECONDS = 20  # less than the silence after which a sweep would ask as well
FINISH_RETRIES = 24 * 60 * 60 // FINISH_LONGEST_WAIT_SECONDS
"""A day's worth: while a disk is full or vectors are away, results wait, and no more is handed out."""
SPOOL_KEPT = timedelta(hours=1)
"""Longer than anybody takes from handing a job in to writing that down."""
RECLUSTER_SECONDS = 50 * 60
"""It compares many faces with many; less than the time after which Redis would hand it out again."""

presence.connect()  # who imports the tasks is a worker


@shared_task
def reconcile(*_later: object) -> None:
    done = get_processing().processor.reconcile()
    if done.read:
        hints.dispatch()
    if done.is_behind:
        hints.reconcile()


@shared_task
def dispatch(*_later: object) -> None:
    get_processing().jobs.dispatch()
    get_processing().reembedding.dispatch()


@shared_task
def infer(job_ids: list[str], *_later: object) -> None:
    """Runs local jobs."""
    client = get_processing().client
    assert isinstance(client, SpoolComputeClient)
    runs.run(client, job_ids)


class FinishTask(Task):  # type: ignore[type-arg]  # not subscriptable when it runs
    """What goes on for too long, or nobody foresaw, fails the job with the reason: none waits for ever."""

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        setbacks.give_up(args[0], exc)


@shared_task(bind=True, base=FinishTask)
def finish_jobs(self: FinishTask, job_ids: list[str], *_later: object) -> None:
    try:
        get_processing().callbacks.finish_jobs(job_ids)
    except setbacks.PASSING as error:
        setbacks.note(job_ids, error)
        if len(job_ids) > 1:
            hints.finish_each(job_ids)
            return
        wait = min(2**self.request.retries, FINISH_LONGEST_WAIT_SECONDS)
        raise self.retry(exc=error, countdown=wait, max_retries=FINISH_RETRIES) from error


@shared_task(bind=True)
def forget_job(self: Task[Any, Any], job_id: str, *_later: object) -> None:
    """Deletes an ended or unwanted job on the service that ran it."""
    try:
        get_processing().client.cancel(job_id)
    except ComputeError as error:
        if self.request.retries >= FORGET_RETRIES:
            logger.warning("Job %s stays on the compute service: %s", job_id, error)
            return
        wait = FORGET_WAIT_SECONDS * 2**self.request.retries
        raise self.retry(exc=error, countdown=wait, max_retries=FORGET_RETRIES) from error


@shared_task
def poll_jobs(*_later: object) -> None:
    get_processing().poller.poll()


@shared_task
def sweep_jobs(*_later: object) -> None:
    get_processing().sweeper.sweep_jobs()


@shared_task
def purge_spool(*_later: object) -> None:
    client = get_processing().client
    if isinstance(client, SpoolComputeClient):
        client.purge(SPOOL_KEPT, rows.live_among)


@shared_task
def sweep_images(*_later: object) -> int:
    if found := get_processing().sweeper.sweep_images():
        hints.dispatch()
    return found


@shared_task
def upkeep(*_later: object) -> None:
    if get_processing().upkeep.follow_marks():
        hints.upkeep()


@shared_task
def recognise(*_later: object) -> None:
    if get_processing().recogniser.recognise():
        hints.recognise()


@shared_task(soft_time_limit=RECLUSTER_SECONDS, time_limit=RECLUSTER_SECONDS + 60)
def recluster(*_later: object) -> None:
    try:
        get_processing().recluster.nightly()
    except ReclusterError as error:
        logger.info("Nobody was re-clustered: %s", error)


@shared_task
def sweep_upkeep(*_later: object) -> None:
    get_processing().upkeep.sweep()


@shared_task
def sweep_vectors(*_later: object) -> int:
    if found := get_processing().audit.sweep():
        hints.dispatch()
    return found


@shared_task
def encode_queries(keys: list[str], *_later: object) -> None:
    get_processing().encoder.encode(keys)


@shared_task
def tell_capabilities(*_later: object) -> None:
    get_processing().encoder.tell_capabilities()


@shared_task
def switch_models(*_later: object) -> None:
    if using_models.switch_those_done():
        get_processing().audit.follow_changes()


@shared_task
def forget_encodings(*_later: object) -> None:
    encoding.forget_old()


@shared_task
def run_errands(*_later: object) -> None:
    errands.run_waiting()


@shared_task
def announce_entities(entity_ids: list[int], *_later: object) -> None:
    if (announcer := announce.here()) is not None:
        announcer.entities(entity_ids)


@shared_task
def announce_item(entity_id: int, md5: str, timestamp: int, *_later: object) -> None:
    if (announcer := announce.here()) is not None:
        announcer.item(entity_id, md5, timestamp)


@shared_task
def clear_statuses(*_later: object) -> None:
    if (announcer := announce.here()) is not None:
        announcer.clear_ended()
