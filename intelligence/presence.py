"""That a worker is there: shown in the database and over MQTT while it lives, by one of its processes."""

from __future__ import annotations

import logging
import threading
from typing import Any

from celery.signals import worker_process_init, worker_process_shutdown, worker_ready, worker_shutdown
from django.conf import settings
from django.db import DatabaseError, connections

from intelligence import announce, worker_status
from intelligence.broadcast import Broadcaster, Topics
from intelligence.mqtt import Broker
from intelligence.mqtt_clock import ANNOUNCER, ConnectionClock

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 5.0


class Presence:
    """Of a worker that reads history. The broadcaster, if there is a broker, serves the whole process."""

    def __init__(self, topic_port: int | None = None) -> None:
        self._is_stopping = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._broadcaster = make_broadcaster(topic_port, speaks_for_worker=True, heard_offline=self._wake.set)
        self._clock = ConnectionClock(ANNOUNCER, self._is_heard)

    def start(self) -> None:
        worker_status.worker_started()
        announce.install(self._broadcaster)
        if self._broadcaster is not None:
            self._broadcaster.start()
            self._clock.start()
        self._thread.start()

    def stop(self) -> None:
        self._is_stopping = True
        self._wake.set()
        self._thread.join(HEARTBEAT_SECONDS)  # it may wait for a database that does not answer
        announce.install(None)
        if self._broadcaster is not None:
            self._clock.stop()
            self._broadcaster.stop()
        try:
            worker_status.worker_stopped()
        except DatabaseError as error:
            logger.warning("The worker cannot say that it stops; it will be missed soon: %s", error)

    def _is_heard(self) -> bool:
        return self._broadcaster is not None and self._broadcaster.is_up

    def _run(self) -> None:
        while not self._is_stopping:
            self._wake.clear()
            self._beat()
            self._wake.wait(HEARTBEAT_SECONDS)
        connections.close_all()

    def _beat(self) -> None:
        try:
            worker_status.beat()
        except DatabaseError as error:
            logger.warning("The worker cannot show that it lives: %s", error)
        announce.worker()
        connections.close_all()


def make_broadcaster(topic_port: int | None = None, **options: Any) -> Broadcaster | None:
    """None where no broker is configured."""
    broker = Broker.configured()
    if broker is None:
        return None
    topics = Topics(topic_port or settings.MQTT_TOPIC_PORT)
    return Broadcaster(broker, topics, **options)


# --- In a `celery worker` ---------------------------------------------------------------------------------
# Its main process is present; each process of its pool has a connection of its own to tell what it changes.


def connect() -> None:
    worker_ready.connect(_appear, dispatch_uid="intelligence.presence.ready")
    worker_shutdown.connect(_disappear, dispatch_uid="intelligence.presence.shutdown")
    worker_process_init.connect(_join_pool, dispatch_uid="intelligence.presence.process_init")
    worker_process_shutdown.connect(_leave_pool, dispatch_uid="intelligence.presence.process_shutdown")


class _WorkerProcess:
    presence: Presence | None = None
    broadcaster: Broadcaster | None = None


def _appear(*, sender: Any, **_signal: Any) -> None:
    _leave_pool()  # a pool of threads lives in this very process
    if "reconcile" in sender.app.amqp.queues.consume_from:
        _WorkerProcess.presence = Presence()
        _WorkerProcess.presence.start()
    else:
        _join_pool()


def _disappear(**_signal: Any) -> None:
    _leave_pool()
    if _WorkerProcess.presence is not None:
        _WorkerProcess.presence.stop()
        _WorkerProcess.presence = None


def _join_pool(**_signal: Any) -> None:
    inherited = announce.here()
    if isinstance(inherited, Broadcaster):
        inherited.abandon()
    _WorkerProcess.presence = None
    _WorkerProcess.broadcaster = make_broadcaster(speaks_for_worker=False)
    announce.install(_WorkerProcess.broadcaster)
    if _WorkerProcess.broadcaster is not None:
        _WorkerProcess.broadcaster.start()


def _leave_pool(**_signal: Any) -> None:
    if _WorkerProcess.broadcaster is not None:
        announce.install(None)
        _WorkerProcess.broadcaster.stop()
        _WorkerProcess.broadcaster = None
