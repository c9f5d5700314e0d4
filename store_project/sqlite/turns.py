"""Whose turn it is to write to a database file: the threads of a process queue, first come, first served; and
the first of them waits for other processes at their common door.

SQLite lets writers that wait sleep, for up to 100 ms at a time, while the database is free and others pass.
The queue only spares that sleep; SQLite still is the judge of who writes.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque

from store_project.sqlite.door import Door

LOOK_SECONDS = 1.0
"""How often a writer who waits looks whether the one in front still lives."""


class TurnTimeoutError(Exception):
    pass


class Turn:
    def __init__(self, owner: object) -> None:
        self._owner = weakref.ref(owner)
        self._thread = threading.current_thread()
        self.come = threading.Event()

    def is_mine(self) -> bool:
        return self._thread is threading.current_thread()

    def is_abandoned(self) -> bool:
        return self._owner() is None or not self._thread.is_alive()


class Turns:
    """Of one database file, in one process."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._lock = threading.Lock()
        self._queue: deque[Turn] = deque()
        """The first has its turn."""

    def take(self, owner: object, *, timeout: float) -> Turn | None:
        """When this returns it is the owner's turn, until `give_back`. None where this thread has the turn
        already, with another connection: to wait for itself would never end.
        """
        turn, deadline = Turn(owner), time.monotonic() + timeout
        with self._lock:
            if self._queue and self._queue[0].is_mine():
                return None
            self._queue.append(turn)
            if self._queue[0] is turn:
                turn.come.set()
        try:
            self._wait(turn, deadline)
            self._door.enter(timeout=deadline - time.monotonic())
        except BaseException:
            self.give_back(turn)
            raise
        return turn

    def _wait(self, turn: Turn, deadline: float) -> None:
        while not turn.come.wait(max(0.0, min(LOOK_SECONDS, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                raise TurnTimeoutError
            first = self._queue[0]
            if first.is_abandoned():
                self.give_back(first)

    def give_back(self, turn: Turn) -> None:
        """Safe to repeat."""
        with self._lock:
            if self._queue and self._queue[0] is turn:
                self._door.leave()
            if turn in self._queue:
                self._queue.remove(turn)
            if self._queue:
                self._queue[0].come.set()

    def forget(self) -> None:
        """In a forked process: whoever had the turn lives on in the parent only."""
        self._door.forget()


_turns: dict[str, Turns] = {}


def turns_of(path: str) -> Turns:
    return _turns.setdefault(path, Turns(Door(path)))


def _forget_all() -> None:
    for turns in _turns.values():
        turns.forget()
    _turns.clear()


os.register_at_fork(after_in_child=_forget_all)
