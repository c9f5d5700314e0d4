"""The folder of embedded vectors: who may use it, and which of its sub-folders count.

One small file names the sub-folder of each collection. It is replaced atomically, and whatever it does not
name is rubbish of an interrupted step, removed when the folder is opened. So a collection is made, exchanged
or dropped at the moment that file changes, and a crash at any other moment leaves nothing half done.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from vectors import lock_file
from vectors.errors import VectorsCorruptError, VectorsInUseError

LOCK = "lock"


@dataclass(frozen=True)
class Contents:
    collections: Mapping[str, str] = field(default_factory=dict)
    """The name of the sub-folder by the collection's."""
    aliases: Mapping[str, str] = field(default_factory=dict)


class VectorFolder:
    """Open from construction to close(), for this process alone. One thread at a time may change it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(path)
        try:
            self.contents = self._read()
            self._remove_rubbish()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._lock.close()

    def is_gone(self) -> bool:
        """Somebody has deleted it, moved it away or put another in its place."""
        try:
            return not os.path.samestat((self.path / LOCK).stat(), os.fstat(self._lock.fileno()))
        except FileNotFoundError:
            return True

    def folder_of(self, collection: str) -> Path:
        return self.path / self.contents.collections[collection]

    def new_folder(self, collection: str) -> Path:
        """A name that was never used; it counts for nothing until put()."""
        return self.path / f"{collection}.{uuid.uuid4().hex}"

    def put(self, collection: str, folder: Path) -> None:
        collections = {**self.contents.collections, collection: folder.name}
        self._write(replace(self.contents, collections=collections))

    def remove(self, collection: str) -> None:
        folder = self.folder_of(collection)
        kept = {name: each for name, each in self.contents.collections.items() if name != collection}
        self._write(replace(self.contents, collections=kept))
        remove(folder)

    def point_alias(self, alias: str, collection: str) -> None:
        self._write(replace(self.contents, aliases={**self.contents.aliases, alias: collection}))

    @property
    def _table(self) -> Path:
        return self.path / "collections.json"

    def _read(self) -> Contents:
        try:
            read: dict[str, Any] = json.loads(self._table.read_bytes())
            return Contents(**read)
        except FileNotFoundError:
            self._refuse_orphans()
        except (ValueError, TypeError) as error:
            raise corrupt(self._table, error) from error
        self._write(Contents())
        return self.contents

    def _refuse_orphans(self) -> None:
        if orphans := self._sub_folders():
            raise corrupt(self._table, f"missing, but there are {len(orphans)} collections")

    def _write(self, contents: Contents) -> None:
        written = self._table.with_suffix(".new")
        with written.open("w") as file:
            json.dump(asdict(contents), file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        written.replace(self._table)
        self.contents = contents
        _sync(self.path)  # or a power cut might bring back the old names, of folders that are removed next

    def _remove_rubbish(self) -> None:
        named = set(self.contents.collections.values())
        for folder in self._sub_folders():
            if folder.name not in named:
                remove(folder)

    def _sub_folders(self) -> list[Path]:
        return [each for each in self.path.iterdir() if re.fullmatch(r".+\.[0-9a-f]{32}", each.name)]


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(folder: Path) -> None:
    """Best effort: what is left counts for nothing and goes when the folder is next opened."""
    shutil.rmtree(folder, ignore_errors=True)


def _locked(path: Path) -> IO[str]:
    file = lock_file.take(path / LOCK)
    if file is None:
        raise in_use(path, holder_of_folder(path) or "unknown")
    return file


def holder_of_folder(path: Path) -> str | None:
    """The id of the process that has it open; None where nobody has."""
    return lock_file.holder(path / LOCK)


def in_use(path: Path, holder: str) -> VectorsInUseError:
    return VectorsInUseError(
        f"The vectors in {path} are in use by another process (id {holder}). Embedded vectors serve one "
        "process at a time: stop the other one, or run a Qdrant server and set QDRANT_URL in all of them."
    )


def corrupt(path: Path, reason: object) -> VectorsCorruptError:
    return VectorsCorruptError(
        f"{path} cannot be opened ({reason}). Restore the folder of vectors from a backup; or move it away "
        "and have the vectors made again: they are derived from the images."
    )
