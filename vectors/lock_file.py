"""A file that one process holds, and that says which. The operating system takes it from one that dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

PATIENCE_SECONDS = 0.2
"""With somebody who only looks who holds it."""


def take(path: Path) -> IO[str] | None:
    """Held until the answer is closed; None where another process has it."""
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    if not _is_locked(file):
        file.close()
        return None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def holder(path: Path) -> str | None:
    """The id of the process that has it; None where nobody has."""
    try:
        file = path.open()
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read().strip() or "unknown"
    return None


def _is_locked(file: IO[str]) -> bool:
    for pause in (PATIENCE_SECONDS, 0):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause)
        else:
            return True
    return False
