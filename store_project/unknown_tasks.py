"""Messages of a newer release, in the hands of an older worker: sent back, until a newer one takes them.

While a release is rolled out both run at once. Celery drops what it does not know; here it goes back to its
queue a moment later, or at once where this worker ends. So often, and then it is told and left: the sweeps of
whoever knows the task do what it asked for.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from celery import Celery
from celery.signals import task_unknown, worker_shutdown
from kombu.exceptions import KombuError

logger = logging.getLogger(__name__)

PAUSE_SECONDS = (1.0, 3.0)
"""Drawn anew each time. Workers ask Redis in turns of a second, and it serves whoever has waited longest:
after a pause of whole seconds that is the same worker again and again.
"""
MOST_TURNS = 150
"""Five minutes, or longer where several workers turn it away."""
HEADER = "turned_away"


@dataclass(frozen=True)
class Stray:
    app: Celery
    name: str
    queue: str
    args: list[Any]
    kwargs: dict[str, Any]
    turns: int

    def send_back(self) -> None:
        try:
            self.app.send_task(
                self.name, self.args, self.kwargs, queue=self.queue, headers={HEADER: self.turns}, retry=False
            )
        except (KombuError, OSError) as error:
            logger.warning("%s is left to the sweeps of a newer worker: %s", self.name, error)


class Returns:
    """Those that wait to be sent back; none is left when the worker ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[threading.Timer, Callable[[], None]] = {}

    def soon(self, stray: Stray) -> None:
        pause = random.uniform(*PAUSE_SECONDS)  # noqa: S311  (jitter)
        timer = threading.Timer(pause, lambda: self._send(timer))
        timer.daemon = True
        with self._lock:
            self._waiting[timer] = stray.send_back
        timer.start()

    def now(self) -> None:
        with self._lock:
            timers = list(self._waiting)
        for timer in timers:
            timer.cancel()
            self._send(timer)

    def _send(self, timer: threading.Timer) -> None:
        with self._lock:
            send_back = self._waiting.pop(timer, None)
        if send_back is not None:
            send_back()


_returns = Returns()


@task_unknown.connect
def _turn_away(sender: Any, message: Any, name: str, **_signal: Any) -> None:
    args, kwargs, _ = message.payload
    turns = int(message.headers.get(HEADER) or 0) + 1
    if turns > MOST_TURNS:
        logger.error("%s is known to no worker; dropped after it was turned away %s times.", name, MOST_TURNS)
        return
    if turns == 1:
        logger.warning("%s is not known to this release; left to a newer worker.", name)
    queue = message.delivery_info["routing_key"]
    _returns.soon(Stray(sender.app, name, queue, list(args), dict(kwargs), turns))


@worker_shutdown.connect
def _leave_none(**_signal: Any) -> None:
    _returns.now()
