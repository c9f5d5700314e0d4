"""Whose turn it is to write to a database file, among processes: one after the other, none twice in a row.

Who waits for SQLite sleeps, for up to 100 ms at a time, and misses the pauses of somebody who writes much.
Here whoever is next holds a file of his own while he waits for the one inside: who leaves and comes again
stands behind him. SQLite still is the judge: nobody is refused, or kept for long, by these files.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

LOOK_SECONDS = 0.002
MOST_SECONDS = 10.0
"""After so long SQLite is asked instead: who is inside may hang, or have been left behind."""


class Door:
    """Of one process. The operating system takes its two files, beside the database, from one that dies."""

    def __init__(self, database: str) -> None:
        self._inside = _File(Path(f"{database}-turn"))
        self._next = _File(Path(f"{database}-next"))

    def enter(self, *, timeout: float) -> None:
        """Waits until nobody else is inside, for so long, but no longer than MOST_SECONDS."""
        deadline = time.monotonic() + min(timeout, MOST_SECONDS)
        try:
            if self._next.take(deadline):
                self._inside.take(deadline)
        finally:
            self._next.give_back()

    def leave(self) -> None:
        """Safe to repeat, and to call without having entered."""
        self._inside.give_back()

    def forget(self) -> None:
        """In a forked process: what is open is the parent's too, and so is what it holds."""
        self._inside.close()
        self._next.close()


class _File:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self, deadline: float) -> bool:
        if self._descriptor is None:
            self._descriptor = _open(self._path)
        while not _is_taken(self._descriptor):
            if time.monotonic() >= deadline:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def give_back(self) -> None:
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _open(path: Path) -> int:
    """As SQLite does with its own files: what root makes belongs to whom the folder belongs."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
