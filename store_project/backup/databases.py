"""A consistent copy of the database while others write to it, the paths that it names, and the way back."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from django.conf import settings
from django.db import connection, connections, transaction

PAGES = 2000
"""Copied at a time, with a pause in between; writers never wait for longer than one step takes."""
PAUSE_SECONDS = 0.005
BATCH_SIZE = 2000

NAMED = """
SELECT file_path, file_size, md5 FROM entities_entity WHERE file_path IS NOT NULL
UNION ALL SELECT file_path, NULL, NULL FROM intelligence_face WHERE file_path <> ''
"""

Named = Iterator[tuple[str, int | None, str | None]]
"""Path, size and MD5 as the rows say; a crop's say only the path."""


class BackupError(Exception):
    """The message says what to do."""


class Snapshot(Protocol):
    def named(self) -> Named: ...


class SqliteSnapshot:
    def __init__(self, path: Path) -> None:
        self._path = path

    def named(self) -> Named:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as copy:
            yield from copy.execute(NAMED)


class PostgresSnapshot:
    """In the transaction whose snapshot was dumped."""

    def named(self) -> Named:
        with connection.chunked_cursor() as cursor:
            cursor.execute(NAMED)
            while rows := cursor.fetchmany(BATCH_SIZE):
                yield from rows


FILE_NAMES = {"sqlite": "database.sqlite3", "postgresql": "database.dump"}


@contextmanager
def snapshot(folder: Path) -> Iterator[Snapshot]:
    """Writes the copy into the folder. The paths can be read as long as this lasts."""
    target = folder / FILE_NAMES[connection.vendor]
    if connection.vendor == "sqlite":
        try:
            _copy_sqlite(target)
        except sqlite3.OperationalError as error:
            raise BackupError(f"The database cannot be copied: {error}") from error
        yield SqliteSnapshot(target)
        return
    tool = _tool("pg_dump")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT pg_export_snapshot()")
        [name] = cursor.fetchone()
        _run([tool, "--format=custom", f"--snapshot={name}", f"--file={target}", *_address()])
        yield PostgresSnapshot()


def restore(folder: Path) -> None:
    """In place of whatever is there. Nothing may have the database open."""
    source = folder / FILE_NAMES[connection.vendor]
    if not source.exists():
        [other] = (vendor for vendor, name in FILE_NAMES.items() if (folder / name).exists())
        raise BackupError(
            f"The backup is of a {other} database, and DATABASE_URL names a {connection.vendor} one."
        )
    connections.close_all()
    if connection.vendor == "sqlite":
        _put_sqlite_back(source, Path(settings.DATABASES["default"]["NAME"]))
    else:
        tool, options = _tool("pg_restore"), ["--clean", "--if-exists", "--no-owner", "--single-transaction"]
        _run([tool, *options, *_address(), str(source)])


# --- SQLite ---


def _copy_sqlite(target: Path) -> None:
    """The steps are of one state, however long they take: the reading transaction keeps it. In WAL mode it
    keeps no writer waiting."""
    with closing(sqlite3.connect(settings.DATABASES["default"]["NAME"], timeout=60)) as from_here:
        from_here.execute("BEGIN")
        from_here.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()  # from now on it sees one state
        with closing(sqlite3.connect(target)) as copy:
            from_here.backup(copy, pages=PAGES, sleep=PAUSE_SECONDS)
            copy.execute("PRAGMA journal_mode=DELETE")
    _sync(target)


def _put_sqlite_back(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.restoring")
    shutil.copyfile(source, partial)
    _sync(partial)
    for ending in ("-wal", "-shm"):
        target.with_name(target.name + ending).unlink(missing_ok=True)
    partial.replace(target)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


# --- PostgreSQL ---


def _tool(name: str) -> str:
    """Raises BackupError unless it is at least as new as the server."""
    found = shutil.which(name)
    server = int(connection.pg_version) // 10_000  # type: ignore[attr-defined]
    if found is None:
        raise BackupError(f"{name} was not found: install the client tools of PostgreSQL {server} or newer.")
    said = _run([found, "--version"])
    version = re.search(r"(\d+)", said)
    if version is None or int(version[1]) < server:
        raise BackupError(
            f"{name} is {said.strip()}, the server is {server}: install tools of {server} or newer."
        )
    return found


def _address() -> list[str]:
    options: Mapping[str, Any] = connection.get_connection_params()
    names = {"host": "--host", "port": "--port", "user": "--username", "dbname": "--dbname"}
    return [f"{flag}={options[name]}" for name, flag in names.items() if options.get(name)]


def _run(command: list[str]) -> str:
    password = settings.DATABASES["default"].get("PASSWORD") or ""
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {})}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603  (found by name, no shell)
    if ended.returncode:
        raise BackupError(f"{Path(command[0]).name} has failed: {ended.stderr.strip()}")
    return ended.stdout
