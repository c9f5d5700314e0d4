"""Hears over MQTT what a compute service says of its jobs, and asks for those that are ours.

An event is a hint, and anybody may have written it: the service itself is then asked. What is lost, comes too
early or is dropped in a flood, the poller finds.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from itertools import islice

from django.db import Error as DatabaseError
from django.db import connections

from intelligence import hints
from intelligence.compute.remote_jobs import is_job_id
from intelligence.models import EntityJob
from intelligence.mqtt import Broker, Callbacks, Connection
from intelligence.mqtt_clock import LISTENER, ConnectionClock

logger = logging.getLogger(__name__)

TOPIC = "inference/events"
MAX_PAYLOAD_BYTES = 4096
MOST_WAITING = 10_000
BATCH_SIZE = 200
AGAIN_AFTER_SECONDS = 1.0
"""An id that comes again and again is asked about no more often."""
PAUSE_SECONDS = 5.0
"""While the database does not answer."""


class Inbox:
    """Ids that were heard of, each once, in the order in which they came. Never full, never waits."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._asked: OrderedDict[str, float] = OrderedDict()
        self._is_closed = False
        self.dropped = 0

    def put(self, job_id: str) -> None:
        with self._changed:
            if job_id not in self._waiting and len(self._waiting) >= MOST_WAITING:
                self.dropped += 1
                return
            self._waiting[job_id] = None
            self._changed.notify()

    def put_back(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            self.put(job_id)

    def take(self) -> list[str]:
        """Waits until there are some; none when closed."""
        with self._changed:
            while not self._is_closed:
                due = self._due()
                if due:
                    for job_id in due:
                        del self._waiting[job_id]
                    return due
                self._changed.wait(AGAIN_AFTER_SECONDS / 4 if self._waiting else None)
            return []

    def note_asked(self, job_id: str) -> None:
        with self._changed:
            self._asked[job_id] = time.monotonic()
            self._asked.move_to_end(job_id)

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed, seconds)

    def _due(self) -> list[str]:
        before = time.monotonic() - AGAIN_AFTER_SECONDS
        while self._asked and next(iter(self._asked.values())) <= before:
            self._asked.popitem(last=False)
        return list(islice((job_id for job_id in self._waiting if job_id not in self._asked), BATCH_SIZE))


class ComputeListener:
    """Start it once; stop it once."""

    def __init__(self, broker: Broker, *, topic: str = TOPIC) -> None:
        self._inbox = Inbox()
        self._unknown: OrderedDict[str, None] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="compute listener", daemon=True)
        callbacks = Callbacks(up=self._on_up, down=lambda: None, received=self._on_message)
        self._topic = topic
        self._connection = Connection(broker, callbacks, listen_to=[topic])
        self._clock = ConnectionClock(LISTENER, lambda: self._connection.is_up)

    def start(self) -> None:
        self._thread.start()
        self._connection.start()
        self._clock.start()

    def stop(self) -> None:
        self._connection.close()
        self._clock.stop()
        self._inbox.close()
        self._thread.join()

    def _on_up(self) -> None:
        logger.info("Listening to %s; what was said before, the poller finds.", self._topic)

    def _on_message(self, _topic: str, payload: bytes) -> None:
        job_id = read_event(payload)
        if job_id is not None:
            self._inbox.put(job_id)

    def _run(self) -> None:
        while heard := self._inbox.take():
            try:
                self._ask_for(heard)
            except DatabaseError as error:
                logger.warning("Events of the compute service wait for the database: %s", error)
                self._inbox.put_back(heard)
                self._inbox.pause(PAUSE_SECONDS)
            finally:
                connections.close_all()
        connections.close_all()

    def _ask_for(self, heard: list[str]) -> None:
        """Others use the same service: their jobs are none of our business. But an event may also be faster
        than we are at writing the id down, so that an unknown one is looked up a second time.
        """
        ours = set(EntityJob.objects.filter(job_id__in=heard).values_list("job_id", flat=True))
        for job_id in heard:
            self._inbox.note_asked(job_id)
            if job_id in ours:
                hints.finish_jobs([job_id])
            elif job_id in self._unknown:
                del self._unknown[job_id]
            else:
                self._unknown[job_id] = None
                self._inbox.put(job_id)
        while len(self._unknown) > MOST_WAITING:
            self._unknown.popitem(last=False)
        if self._inbox.dropped:
            logger.warning("%s events came too fast and were dropped.", self._inbox.dropped)
            self._inbox.dropped = 0


def read_event(payload: bytes) -> str | None:
    """The id of a job that has come further; None for anything else."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        return None
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    if not isinstance(event, dict) or event.get("event_type") == "queued":
        return None
    job_id = event.get("job_id")
    return job_id if is_job_id(job_id) else None
