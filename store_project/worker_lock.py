"""That one process alone works on a data folder."""

from __future__ import annotations

from pathlib import Path
from typing import IO

from vectors import lock_file


class WorkerLock:
    """Held by the one process of a data folder that has workers inside; free again when it dies."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "worker.lock"
        self._file: IO[str] | None = None

    def acquire(self) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = lock_file.take(self._path)
        return self._file is not None

    def holder(self) -> str | None:
        """The id of the process that has it; None where nobody has."""
        return lock_file.holder(self._path)

    def release(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
