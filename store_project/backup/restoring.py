from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, connection

from entities.models import Entity
from entities.storage import EntityStorageService
from store_project.backup import databases
from store_project.backup.databases import BackupError
from store_project.backup.files import copy_whole, facts_of
from store_project.backup.making import FORMAT, LIST, MANIFEST, UNFINISHED, Progress
from store_project.worker_lock import WorkerLock


@dataclass(frozen=True)
class Backup:
    source: Path
    folder: Path
    manifest: dict[str, Any]

    def files(self) -> Iterator[dict[str, Any]]:
        with (self.folder / LIST).open() as listed:
            yield from (json.loads(line) for line in listed)


def find(source: Path, snapshot: str | None) -> Backup:
    """The newest that is finished, or the one of that name."""
    snapshots = source / "snapshots"
    finished = sorted(path.name for path in snapshots.glob("*") if not path.name.startswith(UNFINISHED))
    if not finished:
        raise BackupError(f"{source} holds no finished backup.")
    name = snapshot or finished[-1]
    if name not in finished:
        raise BackupError(f"There is no backup {name}, but {', '.join(finished)}.")
    manifest = json.loads((snapshots / name / MANIFEST).read_text())
    if manifest["format"] != FORMAT:
        raise BackupError(f"The backup is of format {manifest['format']}, which this version cannot read.")
    return Backup(source, snapshots / name, manifest)


def verify(backup: Backup, progress: Progress) -> list[str]:
    """Reads all of it; what is missing or altered."""
    parts = backup.manifest["parts"].items()
    wrong = [name for name, sha256 in parts if _sha256(backup.folder / name) != sha256]
    if LIST in wrong:
        return wrong
    for each in backup.files():
        if _sha256(backup.source / "files" / each["path"]) != each["sha256"]:
            wrong.append(each["path"])
        progress(1, each["size"])
    return wrong


def _sha256(path: Path) -> str | None:
    try:
        return facts_of(path).sha256
    except FileNotFoundError:
        return None


def what_is_there() -> str | None:
    """In words, if the store is not empty."""
    try:
        entities, users = Entity.objects.count(), User.objects.count()
    except DatabaseError:
        return None  # no tables yet
    finally:
        connection.close()
    return f"{entities} entities and {users} users" if entities or users else None


def restore(backup: Backup, progress: Progress) -> None:
    """Files first: rows never name what is not there. Running it again completes what was interrupted."""
    lock = WorkerLock(settings.CONFIG.cl_server_dir)
    if not lock.acquire():
        raise BackupError("The store runs: stop it first.")
    try:
        _put_files_back(backup, progress)
        _put_keys_back(backup)
        databases.restore(backup.folder)
    finally:
        lock.release()


def _put_files_back(backup: Backup, progress: Progress) -> None:
    storage = EntityStorageService.from_settings()
    for each in backup.files():
        target = storage.resolve(each["path"])
        if _sha256(target) != each["sha256"]:
            copy_whole(backup.source / "files" / each["path"], target)
        progress(1, each["size"])


def _put_keys_back(backup: Backup) -> None:
    keys = settings.CONFIG.cl_server_dir / "keys"
    keys.mkdir(parents=True, exist_ok=True, mode=0o700)
    for key in sorted((backup.folder / "keys").glob("*")):
        shutil.copy2(key, keys / key.name)
