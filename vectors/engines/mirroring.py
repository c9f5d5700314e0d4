"""Copying a folder while its files are written, so that almost nothing is left to copy while none may be."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

Stamp = tuple[int, int, int]
TOO_FRESH_NANOSECONDS = 1_000_000_000
"""A file that changes again so soon may keep its time: clocks of file systems are coarse."""


class Mirror:
    """A copy of a folder. Before each call, but after this is made, what was written into mapped memory has
    to be synced: only then do the times of files tell that they are written again.
    """

    def __init__(self, source: Path, target: Path) -> None:
        self._source = source
        self._target = target
        self._made = time.time_ns()
        self._copied: dict[Path, Stamp] = {}
        """Only files that nobody has written since before the sync: of a page that was written after it, and
        is not synced again yet, the next writing leaves the file's time as it is.
        """

    def copy_roughly(self) -> None:
        """While others write: what changes meanwhile, comes or goes is left for follow()."""
        for path in _files(self._source):
            with suppress(FileNotFoundError):
                self._copy(path)

    def follow(self) -> None:
        """While nobody writes: copies what has changed, removes what has gone. Both are the same then."""
        self._target.mkdir(exist_ok=True)
        there = set(_files(self._source))
        for path in there:
            if self._copied.get(path) != _stamp(self._source / path):
                self._copy(path)
        for path in set(_files(self._target)) - there:
            (self._target / path).unlink()

    def _copy(self, path: Path) -> None:
        before = _stamp(self._source / path)
        copied = self._target / path
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self._source / path, copied)
        if self._made - before[2] > TOO_FRESH_NANOSECONDS:
            self._copied[path] = before


def _files(folder: Path) -> Iterator[Path]:
    return (each.relative_to(folder) for each in list(folder.rglob("*")) if each.is_file())


def _stamp(path: Path) -> Stamp:
    told = path.stat()
    return told.st_ino, told.st_size, told.st_mtime_ns
