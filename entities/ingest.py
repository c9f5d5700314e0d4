"""Storing what lies in folders: found once, stored several at a time, each failure kept with its reason."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from django.db import DatabaseError, connection

from entities import services
from entities.errors import EntityError
from entities.metadata import MetadataError
from entities.models import Entity
from entities.storage import EntityStorageService, read_chunks
from entities.versions import IMPORTED


class Outcome(StrEnum):
    STORED = "stored"
    ALREADY_THERE = "already there"
    FAILED = "failed"


@dataclass(frozen=True)
class Ingested:
    path: Path
    outcome: Outcome
    entity_id: int | None = None
    reason: str = ""


def find_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files below `paths`, each once, in a stable order, without hidden ones and links to folders."""
    seen: set[Path] = set()
    for path in paths:
        for file in _walk(path):
            if (real := file.resolve()) not in seen:
                seen.add(real)
                yield file


def _walk(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, subfolders, names in os.walk(path):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(folder, name)


@dataclass(frozen=True)
class Ingester:
    storage: EntityStorageService
    parent_id: int | None = None
    by: str | None = None
    workers: int = 2

    def run(self, files: Iterable[Path]) -> Iterator[Ingested]:
        """Yields each file's outcome as it is known; holds few files at a time, however many there are."""
        with ThreadPoolExecutor(self.workers) as pool:
            pending: set[Future[Ingested]] = set()
            for file in files:
                if len(pending) >= 2 * self.workers:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
                pending.add(pool.submit(self._ingest_in_thread, file))
            yield from (future.result() for future in wait(pending).done)

    def _ingest_in_thread(self, path: Path) -> Ingested:
        try:
            return self.ingest(path)
        finally:
            connection.close()  # the thread's own; nobody else would

    def ingest(self, path: Path) -> Ingested:
        try:
            there = Entity.objects.live().filter(md5=md5_of(path)).first()
            if there is not None:
                return Ingested(path, Outcome.ALREADY_THERE, there.pk)
            with self.storage.receive(read_chunks(path)) as incoming:
                stored = services.create_entity(
                    storage=self.storage,
                    incoming=incoming,
                    label=path.name,
                    parent_id=self.parent_id,
                    by=self.by,
                    reason=IMPORTED,
                )
        except (OSError, EntityError, MetadataError, DatabaseError) as error:
            return Ingested(path, Outcome.FAILED, reason=str(error))
        outcome = Outcome.STORED if stored.created else Outcome.ALREADY_THERE
        return Ingested(path, outcome, stored.entity.pk)

    def rehearse(self, path: Path) -> Ingested:
        """What `ingest` would say of a file that is sound; reads it and writes nothing."""
        try:
            there = Entity.objects.live().filter(md5=md5_of(path)).first()
        except OSError as error:
            return Ingested(path, Outcome.FAILED, reason=str(error))
        return (
            Ingested(path, Outcome.STORED)
            if there is None
            else Ingested(path, Outcome.ALREADY_THERE, there.pk)
        )


def md5_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, partial(hashlib.md5, usedforsecurity=False)).hexdigest()
