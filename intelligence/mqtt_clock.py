"""That somebody's connection to the MQTT broker stands: noted in the database while it does, so that every
process can tell, also one that has no connection of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime

from django.db import DatabaseError, connections

from entities import tallies
from entities.models import Tally

logger = logging.getLogger(__name__)

KIND = "mqtt"
ANNOUNCER, LISTENER = "announcer", "listener"
NOTE_SECONDS = 15.0
SILENT_SECONDS = 3 * NOTE_SECONDS
"""Whoever has noted nothing for so long has no connection, or has died."""
LOOK_SECONDS = 1.0


def last_noted() -> dict[str, datetime]:
    """By name; of several who have one name, whoever was last."""
    return dict(Tally.objects.filter(kind=KIND).values_list("subject", "updated_at"))


class ConnectionClock:
    """Start it once; stop it once."""

    def __init__(self, name: str, is_up: Callable[[], bool]) -> None:
        self._name, self._is_up = name, is_up
        self._noted_at = -NOTE_SECONDS
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"mqtt clock {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(NOTE_SECONDS)  # it may wait for a database that does not answer

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            if self._is_up() and time.monotonic() >= self._noted_at + NOTE_SECONDS:
                self._noted_at = time.monotonic()
                self._note()

    def _note(self) -> None:
        try:
            tallies.add_now(KIND, self._name)
        except DatabaseError as error:
            logger.warning("That MQTT is connected cannot be noted now: %s", error)
        finally:
            connections.close_all()
