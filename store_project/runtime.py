"""Everything in one process: worker threads and beat, beside whatever else the process does."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from celery import Celery
from celery.beat import EmbeddedService, Scheduler
from celery.worker import WorkController
from celery.worker import state as worker_state

from intelligence import hints
from intelligence.listener import ComputeListener
from intelligence.mqtt import Broker
from intelligence.presence import Presence
from intelligence.processing import get_processing, shutdown_processing
from store_project.celery import QUEUES, app, make_app
from store_project.config import MInsightConfig, load

logger = logging.getLogger(__name__)

OTHER_THREADS = 2
BYTES_PER_LOOKER = 2 * 1024**3
"""Models, and an image of the largest size that is looked at."""


class WorkerThread(threading.Thread):
    """One Celery worker with a pool of threads."""

    def __init__(self, celery: Celery, queues: Sequence[str], threads: int) -> None:
        super().__init__(name=f"worker {','.join(queues)}", daemon=True)
        self.ready = threading.Event()
        self.worker = WorkController(
            app=celery,
            hostname=f"{celery.main}@%h",
            pool_cls="threads",
            concurrency=threads,
            queues=list(queues),
            ready_callback=lambda _consumer: self.ready.set(),
            use_eventloop=False,
            without_mingle=True,
            without_gossip=True,
            without_heartbeat=True,
        )

    def run(self) -> None:
        self.worker.start()


def _compute_listener() -> ComputeListener | None:
    broker = Broker.configured()
    if broker is None or not load(MInsightConfig).compute_service_url:
        return None
    return ComputeListener(broker)


def inference_concurrency() -> int:
    """As the configuration says, or as many as this machine can feed."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    fitting = min(os.cpu_count() or 1, memory // BYTES_PER_LOOKER)
    return load(MInsightConfig).inference_concurrency or max(1, fitting)


class EmbeddedRuntime:
    """Takes up what an earlier process left, then works until it is stopped."""

    def __init__(self, *, grace_seconds: float = 20.0, topic_port: int | None = None) -> None:
        self.grace_seconds = grace_seconds
        self._presence = Presence(topic_port)
        self._sweeper = get_processing().sweeper  # first: a wrong configuration shows before anything starts
        # A worker of its own for inference, so that long runs never hold up what is quick.
        inference = make_app("store-inference", set_as_current=False)
        # And one for searches: somebody waits for them.
        queries = make_app("store-queries", set_as_current=False)
        quick = [queue for queue in QUEUES if queue not in {"inference", "queries"}]
        self._workers = [
            WorkerThread(app, quick, OTHER_THREADS),
            WorkerThread(inference, ["inference"], inference_concurrency()),
            WorkerThread(queries, ["queries"], 1),
        ]
        self._listener = _compute_listener()
        self._beat: Any = EmbeddedService(app, thread=True, scheduler_cls=Scheduler)

    def start(self) -> None:
        for worker in self._workers:
            worker.start()
            worker.ready.wait()
        hints.worker_in_this_process.set()
        self._presence.start()
        if self._listener is not None:
            self._listener.start()
        self._sweeper.recover_interrupted()
        hints.reconcile()
        hints.send("tell_capabilities")
        hints.send("sweep_images")
        hints.send("sweep_vectors")
        hints.dispatch()
        self._beat.start()

    def stop(self) -> bool:
        """Lets what runs finish within the grace time. False where something did not: its threads still run,
        and the next start takes its jobs up again.
        """
        hints.worker_in_this_process.clear()
        if self._listener is not None:
            self._listener.stop()
        self._beat.stop()
        worker_state.should_stop = os.EX_OK  # type: ignore[assignment]  # the stubs know its first value only
        deadline = time.monotonic() + self.grace_seconds
        for worker in self._workers:
            worker.join(max(0.0, deadline - time.monotonic()))
        if any(worker.is_alive() for worker in self._workers):
            logger.warning("Not finished within %s s; the next start takes it up again.", self.grace_seconds)
            self._presence.stop()
            return False
        worker_state.should_stop = None
        self._presence.stop()
        shutdown_processing()
        return True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
