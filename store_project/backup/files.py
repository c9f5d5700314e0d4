"""Copies of files under their own paths, and what is known of them."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from entities.storage import read_chunks, sync_folder


@dataclass(frozen=True)
class FileFacts:
    size: int
    md5: str
    sha256: str


class FileIndex:
    """Of what lies in `files/`. If it is lost, the files are read again."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INT, md5 TEXT, sha256 TEXT)"
        )

    def get(self, path: str) -> FileFacts | None:
        found = self._database.execute(
            "SELECT size, md5, sha256 FROM files WHERE path = ?", [path]
        ).fetchone()
        return None if found is None else FileFacts(*found)

    def put(self, path: str, facts: FileFacts) -> None:
        row = [path, facts.size, facts.md5, facts.sha256]
        self._database.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)

    def close(self) -> None:
        self._database.close()


def facts_of(path: Path) -> FileFacts:
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    for chunk in read_chunks(path):
        md5.update(chunk)
        sha256.update(chunk)
        size += len(chunk)
    return FileFacts(size, md5.hexdigest(), sha256.hexdigest())


def copy_whole(source: Path, target: Path) -> FileFacts:
    """Under a name of its own, then renamed; answers what was written. Raises FileNotFoundError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
    try:
        shutil.copyfile(source, partial)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        facts = facts_of(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(target.parent)
    return facts
