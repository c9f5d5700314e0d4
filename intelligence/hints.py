"""Asking workers to look at something soon. A hint that is lost costs time, never work: the sweeps find it.

Tasks are asked for by name, so that the web side does not import the compute side.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from celery import current_app
from django.conf import settings
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

DEBOUNCE_SECONDS = 0.2
UPKEEP_DEBOUNCE_SECONDS = 1.0
RECOGNISE_DEBOUNCE_SECONDS = 1.0

worker_in_this_process = threading.Event()
"""Set while an embedded worker runs here; without one the in-memory broker would only fill up."""


ANSWER_SECONDS = 1.0
SLOW_SECONDS = 1.0
UNASKED_SECONDS = 10.0


def workers() -> tuple[str, ...]:
    """The names of those that answer over a broker. An embedded worker is found by its status instead."""
    if settings.EMBEDDED_BROKER:
        return ()
    try:
        return tuple(sorted(current_app.control.inspect(timeout=ANSWER_SECONDS).ping() or {}))
    except (OperationalError, OSError) as error:
        logger.warning("The broker is away; nobody knows which workers live: %s", error)
        return ()


class _Patience:
    """A broker that takes connections and answers nothing costs one caller its time-out, not every one."""

    def __init__(self) -> None:
        self._over_until = 0.0

    def is_over(self) -> bool:
        return time.monotonic() < self._over_until

    @contextmanager
    def tried(self) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        except OperationalError:
            if time.monotonic() - began > SLOW_SECONDS:
                self._over_until = time.monotonic() + UNASKED_SECONDS
            raise


_patience = _Patience()


def send(task: str, *arguments: object, countdown: float | None = None) -> None:
    if settings.EMBEDDED_BROKER and not worker_in_this_process.is_set():
        return
    if _patience.is_over():
        return
    try:
        with _patience.tried():
            current_app.send_task(
                f"intelligence.tasks.{task}", args=arguments, countdown=countdown, retry=False
            )
    except OperationalError as error:
        logger.warning("The broker is away; a sweep will do %s later: %s", task, error)


class _Debounce:
    """Lets the first call after a quiet time through at once; of those that follow, one per interval, which
    acts at its end on behalf of all.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._lock = threading.Lock()
        self._covered_until = 0.0

    def wait(self) -> float | None:
        """For how long the caller's hint is to wait; None where one that is under way covers it."""
        with self._lock:
            now = time.monotonic()
            if now < self._covered_until:
                return None
            is_quiet = now >= self._covered_until + self.seconds
            self._covered_until = now if is_quiet else now + self.seconds
            return 0.0 if is_quiet else self.seconds


_reconcile = _Debounce(DEBOUNCE_SECONDS)
_dispatch = _Debounce(DEBOUNCE_SECONDS)
_upkeep = _Debounce(UPKEEP_DEBOUNCE_SECONDS)
_recognise = _Debounce(RECOGNISE_DEBOUNCE_SECONDS)


def reconcile() -> None:
    _send_debounced("reconcile", _reconcile)


def upkeep() -> None:
    _send_debounced("upkeep", _upkeep)


def recognise() -> None:
    _send_debounced("recognise", _recognise)


def dispatch() -> None:
    _send_debounced("dispatch", _dispatch)


def _send_debounced(task: str, debounce: _Debounce) -> None:
    wait = debounce.wait()
    if wait is not None:
        send(task, countdown=wait or None)


def infer(job_ids: Sequence[str]) -> None:
    send("infer", list(job_ids))


def encode(keys: Sequence[str]) -> None:
    send("encode_queries", list(keys))


def forget_job(job_id: str, *, after: float | None = None) -> None:
    send("forget_job", job_id, countdown=after)


def finish_jobs(job_ids: Sequence[str]) -> None:
    """Together, for the price of one."""
    if job_ids:
        send("finish_jobs", list(job_ids))


def finish_each(job_ids: Sequence[str]) -> None:
    """Alone, so that none waits for another's setback."""
    for job_id in job_ids:
        send("finish_jobs", [job_id], countdown=1.0)
