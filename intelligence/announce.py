"""What others shall hear of, over MQTT: said here after the commit, sent by the broadcaster of a worker.

A process that has no broadcaster asks a worker for it. What is lost on the way costs a message, never work.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial
from typing import Protocol

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from entities.api.serializers import milliseconds
from intelligence import hints

BATCH_SIZE = 1000


class Announcer(Protocol):
    """Takes notes only: none of these waits for anything."""

    def item(self, entity_id: int, md5: str, timestamp: int) -> None:
        """A file has come in; `timestamp` in milliseconds since the epoch."""

    def entities(self, entity_ids: Iterable[int]) -> None:
        """The status of these may have changed; what it is now is read from their rows."""

    def worker(self) -> None:
        """The status of the worker may have changed."""

    def clear_ended(self) -> None:
        """Statuses that have been kept for long enough shall go."""


_here: Announcer | None = None


def here() -> Announcer | None:
    """The broadcaster of this process."""
    return _here


def install(announcer: Announcer | None) -> None:
    global _here  # noqa: PLW0603  (one per process is the point)
    _here = announcer


class _Collected(threading.local):
    """What the transactions of this thread have changed: told together, however many."""

    def __init__(self) -> None:
        self.entity_ids: dict[int, None] = {}


_collected = _Collected()


def entities(entity_ids: Iterable[int]) -> None:
    """After the commit. A rollback may leave ids behind, which are told with the next commit: as their rows
    are read only then, nothing untrue is said.
    """
    if settings.MQTT_BROKER:
        _collected.entity_ids.update(dict.fromkeys(entity_ids))
        transaction.on_commit(_tell_entities, robust=True)


def _tell_entities() -> None:
    entity_ids = list(_collected.entity_ids)
    _collected.entity_ids.clear()
    if not entity_ids:
        return
    if _here is not None:
        _here.entities(entity_ids)
        return
    for start in range(0, len(entity_ids), BATCH_SIZE):
        hints.send("announce_entities", entity_ids[start : start + BATCH_SIZE])


def item(entity_id: int, md5: str) -> None:
    """After the commit."""
    if settings.MQTT_BROKER:
        now = milliseconds(timezone.now())
        transaction.on_commit(partial(_tell_item, entity_id, md5, now), robust=True)


def _tell_item(entity_id: int, md5: str, timestamp: int) -> None:
    if _here is not None:
        _here.item(entity_id, md5, timestamp)
    else:
        hints.send("announce_item", entity_id, md5, timestamp)


def worker() -> None:
    """Only workers change it, and each has its broadcaster."""
    if _here is not None:
        _here.worker()
