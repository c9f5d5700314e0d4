"""Jobs as files on a disk that all workers share.

    <root>/<shard>/<job id>.request    what is asked for
                   <job id>.outcome    what came of it
    <root>/.lock                       held while a job is added

Each is written under another name and renamed into place: a process that dies between any two lines leaves
nothing, or a job, or a job with its whole outcome. After a loss of power a file may be empty all the same;
what cannot be read is treated as if it had never been, and the job is asked for again. Few files of each job,
and no folder: a million of them must cost little.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from intelligence.compute.base import StillWanted, UnknownJobError
from intelligence.vocabulary import TaskType

_REQUEST = ".request"
_OUTCOME = ".outcome"
_PARTIAL = ".part"
_LOCK = ".lock"

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHARD_DIGITS = 3  # 4,096 folders: 250 jobs in each when a million wait


@dataclass(frozen=True)
class JobRequest:
    task: TaskType
    image: Path
    params: Mapping[str, object]


def is_job_id(text: str) -> bool:
    return _JOB_ID.fullmatch(text) is not None


class Spool:
    """Safe to use from several threads and processes. Methods that need the job raise UnknownJobError."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def add(self, job_id: str, request: JobRequest) -> None:
        """Does nothing if the same job is there. Another one of this id is left over from an older
        installation, and makes way: its outcome must not pass for the new job's.
        """
        file = self._file(job_id, _REQUEST)
        written = _to_json(request)
        if _content(file) == written:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._adding_alone():
            if _content(file) != written:  # nor has somebody else just asked for it, and may have its outcome
                self.discard(job_id)
                _write_whole(file, written)

    def request(self, job_id: str) -> JobRequest:
        stored = _content(self._file(job_id, _REQUEST))
        if stored is None:
            raise _unknown(job_id)
        try:
            return _from_json(stored)
        except (ValueError, KeyError, TypeError) as error:
            self.discard(job_id)
            raise UnknownJobError(f"The request of job {job_id} was unreadable.") from error

    def finish(self, job_id: str, outcome: bytes) -> None:
        """An outcome that is there stays; that of a job forgotten meanwhile is dropped."""
        with suppress(UnknownJobError):
            if not self.has_ended(job_id):
                _write_whole(self._file(job_id, _OUTCOME), outcome)

    def has_ended(self, job_id: str) -> bool:
        if not self._file(job_id, _REQUEST).exists():
            raise _unknown(job_id)
        return self._file(job_id, _OUTCOME).exists()

    def outcome(self, job_id: str) -> bytes | None:
        """What `finish` was given."""
        return _content(self._file(job_id, _OUTCOME)) if self.has_ended(job_id) else None

    def discard(self, job_id: str) -> None:
        """The request first: without it there is no job."""
        for kind in (_REQUEST, _OUTCOME):
            with suppress(UnknownJobError):
                self._file(job_id, kind).unlink(missing_ok=True)

    def purge(self, older_than: timedelta, wanted: StillWanted) -> int:
        """Removes the jobs that nothing has happened to for so long and nobody wants, and what dead processes
        left behind.
        """
        removed = 0
        for files in self.unwanted(older_than, wanted):
            for file in files:
                file.unlink(missing_ok=True)
            removed += 1
        return removed

    def unwanted(self, older_than: timedelta, wanted: StillWanted) -> Iterator[list[Path]]:
        """The files of each such job, and what dead processes left behind."""
        limit = time.time() - older_than.total_seconds()
        for shard in self._root.glob("?" * _SHARD_DIGITS):
            old = _untouched_since(limit, shard)
            yield from (old[job_id] for job_id in old.keys() - set(wanted(list(old))))

    @contextmanager
    def _adding_alone(self) -> Iterator[None]:
        """Of threads and processes. Whoever dies lets the next one in."""
        with (self._root / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _file(self, job_id: str, kind: str) -> Path:
        if not is_job_id(job_id):
            raise _unknown(job_id)
        shard = hashlib.sha256(job_id.encode()).hexdigest()[:_SHARD_DIGITS]
        return self._root / shard / f"{job_id}{kind}"


def _write_whole(target: Path, data: bytes) -> None:
    partial = target.with_name(f"{target.name}.{os.getpid()}-{threading.get_ident()}{_PARTIAL}")
    partial.write_bytes(data)
    partial.rename(target)


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _untouched_since(limit: float, shard: Path) -> dict[str, list[Path]]:
    """The files of each job in the shard, where none of them is newer."""
    files: dict[str, list[Path]] = {}
    touched: set[str] = set()
    for file in shard.glob("*"):
        job_id = file.name.partition(".")[0]
        files.setdefault(job_id, []).append(file)
        if not _is_older(file, limit):
            touched.add(job_id)
    return {job_id: of_job for job_id, of_job in files.items() if job_id not in touched}


def _is_older(file: Path, limit: float) -> bool:
    try:
        return file.stat().st_mtime < limit
    except FileNotFoundError:
        return False


def _unknown(job_id: str) -> UnknownJobError:
    return UnknownJobError(f"There is no job {job_id!r}.")


def _to_json(request: JobRequest) -> bytes:
    fields = {"task": request.task, "image": str(request.image), "params": dict(request.params)}
    return json.dumps(fields, sort_keys=True).encode()


def _from_json(data: bytes) -> JobRequest:
    fields = json.loads(data)
    return JobRequest(
        task=TaskType(fields["task"]), image=Path(fields["image"]), params=dict(fields["params"])
    )
