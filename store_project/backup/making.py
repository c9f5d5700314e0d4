from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone

from entities.holding import all_files_held
from entities.storage import sync_folder
from store_project.backup import databases
from store_project.backup.databases import BackupError, Snapshot
from store_project.backup.files import FileFacts, FileIndex, copy_whole, facts_of

FORMAT = 1
KIND = "backup"
"""Of the tally by which it is known when the last one ended."""
UNFINISHED = ".unfinished-"
MANIFEST = "manifest.json"
LIST = "files.jsonl"

Progress = Callable[[int, int], None]
"""Told of files and bytes, since the last time."""


@dataclass
class Made:
    snapshot: Path
    files: int = 0
    copied: int = 0
    copied_bytes: int = 0
    missing: list[str] = field(default_factory=list)
    """Rows name them, and they are not there, or not what the rows say: `manage.py audit` knows more."""


def make(destination: Path, *, with_vectors: Callable[[Path], None] | None, progress: Progress) -> Made:
    """What a backup before this one has left unfinished is removed; finished ones stay as they are."""
    if destination.resolve().is_relative_to(Path(settings.MEDIA_ROOT).resolve()):
        raise BackupError("The backup may not lie in the media folder.")
    snapshots = destination / "snapshots"
    snapshots.mkdir(parents=True, exist_ok=True)
    for left in snapshots.glob(f"{UNFINISHED}*"):
        shutil.rmtree(left)
    name = f"{timezone.now():%Y-%m-%dT%H-%M-%S-%f}"
    folder = snapshots / f"{UNFINISHED}{name}"
    folder.mkdir()
    made = Made(snapshots / name)
    with all_files_held(), databases.snapshot(folder) as snapshot:
        _copy_files(snapshot, destination, folder, made, progress)
    _copy_keys(folder)
    if with_vectors is not None:
        with_vectors(folder / "vectors")
    _write_manifest(folder, made)
    _sync(folder)
    folder.rename(made.snapshot)
    sync_folder(snapshots)
    return made


def _copy_files(snapshot: Snapshot, destination: Path, folder: Path, made: Made, progress: Progress) -> None:
    media = Path(settings.MEDIA_ROOT)
    with _index(destination) as index, (folder / LIST).open("w") as listed:
        for path, size, md5 in snapshot.named():
            facts = index.get(path)
            target = destination / "files" / path
            if facts is None or not _is_there(target, facts, size, md5):
                facts = _copy(media / path, target, made)
                if facts is None or (md5 is not None and facts.md5 != md5):
                    made.missing.append(path)
                if facts is None:
                    continue
                index.put(path, facts)
            made.files += 1
            listed.write(json.dumps({"path": path, **asdict(facts)}) + "\n")
            progress(1, facts.size)


def _is_there(target: Path, facts: FileFacts, size: int | None, md5: str | None) -> bool:
    same = (size is None or facts.size == size) and (md5 is None or facts.md5 == md5)
    return same and target.is_file() and target.stat().st_size == facts.size


def _copy(source: Path, target: Path, made: Made) -> FileFacts | None:
    try:
        facts = copy_whole(source, target)
    except FileNotFoundError:
        return None
    made.copied += 1
    made.copied_bytes += facts.size
    return facts


def _copy_keys(folder: Path) -> None:
    """Links and tokens that were signed before are good after a restore. Passwords of `.env` are left out."""
    keys = settings.CONFIG.cl_server_dir / "keys"
    (folder / "keys").mkdir(mode=0o700)
    for key in sorted(keys.glob("*")):
        shutil.copy2(key, folder / "keys" / key.name)


def _write_manifest(folder: Path, made: Made) -> None:
    others = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "version": settings.VERSION,
        "made_at": timezone.now().isoformat(),
        "database": connection.vendor,
        "files": made.files,
        "not_whole": made.missing,
        "parts": {str(path.relative_to(folder)): facts_of(path).sha256 for path in others},
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def _sync(folder: Path) -> None:
    """All of it lies on the disk before its name says that it is whole."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)


@contextmanager
def _index(destination: Path) -> Iterator[FileIndex]:
    path = destination / "files.db"
    try:
        with closing(FileIndex(path)) as index:
            yield index
    except sqlite3.Error as error:
        remedy = "Free some space; if it is damaged, remove it: the files are then copied again."
        raise BackupError(f"{path} cannot be used: {error}. {remedy}") from error
