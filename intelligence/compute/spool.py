"""Jobs as folders on a disk that all workers share.

    <root>/<shard>/<job id>/request.json    what is asked for
                            outcome/        what came of it

A job and its outcome are each written elsewhere and renamed into place: a process that dies between any two
lines leaves nothing, or a job, or a job with its whole outcome. After a loss of power a file may be empty all
the same; what cannot be read is treated as if it had never been, and the job is asked for again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from intelligence.compute.base import StillWanted, UnknownJobError
from intelligence.vocabulary import TaskType

_REQUEST = "request.json"
_OUTCOME = "outcome"
_UNDER_WAY = "tmp"

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
        folder = self._folder(job_id)
        written = _to_json(request)
        stored = _stored_request(folder)
        if stored == written:
            return
        if stored is not None:
            self._remove(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._publish({_REQUEST: written}, folder)

    def request(self, job_id: str) -> JobRequest:
        stored = _stored_request(self._existing(job_id))
        try:
            return _from_json(stored or b"")
        except (ValueError, KeyError, TypeError) as error:
            self.discard(job_id)
            raise UnknownJobError(f"The request of job {job_id} was unreadable.") from error

    def finish(self, job_id: str, files: Mapping[str, bytes]) -> None:
        """The first outcome stays; that of a job forgotten meanwhile is dropped."""
        with suppress(FileNotFoundError, UnknownJobError):
            self._publish(files, self._existing(job_id) / _OUTCOME)

    def outcome(self, job_id: str) -> Path | None:
        """The folder with the files that `finish` was given."""
        outcome = self._existing(job_id) / _OUTCOME
        return outcome if outcome.exists() else None

    def discard(self, job_id: str) -> None:
        with suppress(UnknownJobError):
            self._remove(self._folder(job_id))

    def purge(self, older_than: timedelta, wanted: StillWanted) -> int:
        """Removes the jobs that nothing has happened to for so long and nobody wants, and what dead processes
        left behind.
        """
        limit = time.time() - older_than.total_seconds()
        removed = 0
        for shard in self._root.glob("*"):
            old = {folder.name: folder for folder in shard.glob("*") if _is_older(folder, limit)}
            for name in old.keys() - set(wanted(list(old))):
                self._remove(old[name])
                removed += 1
        return removed

    def _folder(self, job_id: str) -> Path:
        if not is_job_id(job_id):
            raise _unknown(job_id)
        shard = hashlib.sha256(job_id.encode()).hexdigest()[:_SHARD_DIGITS]
        return self._root / shard / job_id

    def _existing(self, job_id: str) -> Path:
        folder = self._folder(job_id)
        if not folder.exists():
            raise _unknown(job_id)
        return folder

    def _publish(self, files: Mapping[str, bytes], target: Path) -> None:
        """All of the files at once, unless the target is there already."""
        under_way = self._temporary()
        try:
            for name, content in files.items():
                (under_way / name).write_bytes(content)
            under_way.rename(target)
        except OSError as error:
            shutil.rmtree(under_way, ignore_errors=True)
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise

    def _remove(self, folder: Path) -> None:
        """Out of sight in one step, then away at leisure."""
        trash = self._temporary()
        with suppress(FileNotFoundError):
            folder.rename(trash / folder.name)
        shutil.rmtree(trash, ignore_errors=True)

    def _temporary(self) -> Path:
        parent = self._root / _UNDER_WAY
        parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=parent))


def _is_older(folder: Path, limit: float) -> bool:
    try:
        return folder.stat().st_mtime < limit
    except FileNotFoundError:
        return False


def _unknown(job_id: str) -> UnknownJobError:
    return UnknownJobError(f"There is no job {job_id!r}.")


def _stored_request(folder: Path) -> bytes | None:
    try:
        return (folder / _REQUEST).read_bytes()
    except FileNotFoundError:
        return None


def _to_json(request: JobRequest) -> bytes:
    fields = {"task": request.task, "image": str(request.image), "params": dict(request.params)}
    return json.dumps(fields, sort_keys=True).encode()


def _from_json(data: bytes) -> JobRequest:
    fields = json.loads(data)
    return JobRequest(
        task=TaskType(fields["task"]), image=Path(fields["image"]), params=dict(fields["params"])
    )
