"""Rows by the million, written by SQL straight into a stopped server's SQLite file; or into PostgreSQL."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg

FAMILY = 100
"""Of so many rows the first is a collection and the others are images in it."""
OFTEN_CHANGED = 10
"""Each so-manieth entity has three versions, the others one."""

_ADDED = "strftime('%Y-%m-%d %H:%M:%S.000000', 1600000000 + i * 60, 'unixepoch')"
IS_COLLECTION = f"i % {FAMILY} = 1"
_FILE_PATH = "'store/' || strftime('%Y/%m/%d/', 1600000000 + i * 60, 'unixepoch') || digest(i) || '.jpg'"
_ALBUM = f"(i - 1) / {FAMILY} * {FAMILY} + 1"


def _of_images(expression: str) -> str:
    return f"CASE WHEN {IS_COLLECTION} THEN NULL ELSE {expression} END"


ENTITY: Mapping[str, str] = {
    "id": "i",
    "is_collection": IS_COLLECTION,
    "label": f"iif({IS_COLLECTION}, 'Album ' || i, 'IMG_' || i || '.jpg')",
    "description": "'Number ' || i || ' of many'",
    "parent_id": _of_images(_ALBUM),
    "added_date": _ADDED,
    "updated_date": _ADDED,
    "create_date": _ADDED,
    "added_by": "'somebody'",
    "updated_by": "'somebody'",
    "file_size": _of_images("300000 + i * 7919 % 400000"),
    "width": _of_images("1600"),
    "height": _of_images("1200"),
    "duration": "NULL",
    "mime_type": _of_images("'image/jpeg'"),
    "type": _of_images("'image'"),
    "extension": _of_images("'jpg'"),
    "md5": _of_images("digest(i)"),
    "file_path": _of_images(_FILE_PATH),
    "is_deleted": "0",
}
BARE: Mapping[str, str] = {
    **ENTITY,
    "media_url": _of_images("'http://127.0.0.1/items/' || i || '/media?signature=' || digest(i)"),
    "preview_url": _of_images("'http://127.0.0.1/items/' || i || '/preview?signature=' || digest(i)"),
}
_HISTORY = {
    **ENTITY,
    "history_date": _ADDED,
    "history_change_reason": "NULL",
    "history_user_id": "'somebody'",
}
_IMAGE = {
    "entity_id": "i",
    "md5": "digest(i)",
    "version": "i",
    "image_path": _FILE_PATH,
    "priority": "30",
    "error_message": "''",
    "created_at": _ADDED,
    "updated_at": _ADDED,
}
_STATUSES = ("processing", "face_detection", "clip", "dino", "face_embedding")
PENDING = {
    **_IMAGE,
    **{f"{of}_status": "'pending'" for of in _STATUSES},
    "face_count": "NULL",
    # As work leaves them: in another order than they lie in.
    "updated_at": "strftime('%Y-%m-%d %H:%M:%S.000000', 1600000000 + i * 7919 % 1000003 * 60, 'unixepoch')",
}
COMPLETED = {**_IMAGE, **{f"{of}_status": "'completed'" for of in _STATUSES}, "face_count": "i % 3"}


@dataclass(frozen=True)
class Table:
    name: str
    columns: Mapping[str, str]
    where: str = "true"


def of_store(images: Mapping[str, str] | None = COMPLETED) -> list[Table]:
    """Entities with their versions, and what is known of the images: PENDING, COMPLETED, or nothing yet."""
    changed = Table(
        "entities_historicalentity", {**_HISTORY, "history_type": "'~'"}, f"i % {OFTEN_CHANGED} = 0"
    )
    tables = [
        Table("entities_entity", ENTITY),
        Table("entities_historicalentity", {**_HISTORY, "history_type": "'+'"}),
        *(changed, changed),
    ]
    if images is not None:
        tables.append(Table("intelligence_imageintelligence", images, f"NOT ({IS_COLLECTION})"))
    return tables


def below(root: int, tables: list[Table]) -> list[Table]:
    """With the first of the rows above all others: collections lie in it, and images in them."""
    assert root % FAMILY == 1, "only such a row is a collection"
    parent = f"CASE WHEN i = {root} THEN NULL WHEN {IS_COLLECTION} THEN {root} ELSE {_ALBUM} END"
    return [
        replace(table, columns={**table.columns, "parent_id": parent})
        if "parent_id" in table.columns
        else table
        for table in tables
    ]


def files(first: int, last: int) -> Iterator[tuple[str, int]]:
    """Path and size of each file that the rows name."""
    with closing(sqlite3.connect(":memory:")) as source:
        source.create_function("digest", 1, _digest, deterministic=True)
        columns = {name: ENTITY[name] for name in ("file_path", "file_size")}
        yield from source.execute(_selected(Table("", columns, f"NOT ({IS_COLLECTION})")), [first, last])


def fill_store(database: Path, *, first: int, last: int, looked_at: bool = True) -> None:
    """Entities `first` to `last` with their versions; the images are through all of their tasks, or new."""
    fill(database, of_store(COMPLETED if looked_at else None), first=first, last=last)


def fill(database: Path, tables: list[Table], *, first: int, last: int) -> None:
    with _opened(database) as connection:
        for table in tables:
            names = ", ".join(f'"{name}"' for name in table.columns)
            connection.execute(f"INSERT INTO {table.name} ({names}) {_selected(table)}", [first, last])


def copy(database: str, tables: list[Table], *, first: int, last: int) -> None:
    """The same rows into PostgreSQL, named by its URL: SQLite makes them up."""
    with (
        closing(sqlite3.connect(":memory:")) as source,
        psycopg.connect(database, options="-c timezone=UTC -c synchronous_commit=off") as connection,
    ):
        source.create_function("digest", 1, _digest, deterministic=True)
        for table in tables:
            names = ", ".join(f'"{name}"' for name in table.columns)
            command = f"COPY {table.name} ({names}) FROM STDIN".encode()
            with connection.cursor() as cursor, cursor.copy(command) as copied:
                for row in source.execute(_selected(table), [first, last]):
                    copied.write_row(row)


def settle(database: str, *, last: int) -> None:
    """After all copies: as the sequence and autovacuum would have left it by the time so much is there."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SELECT setval(pg_get_serial_sequence('entities_entity', 'id'), %s)", [last])
        connection.execute("VACUUM ANALYZE")


def entities_with(versions: int) -> int:
    """How many entities have about so many versions together."""
    return versions * OFTEN_CHANGED // (OFTEN_CHANGED + 2)


def fill_bare(database: Path, *, first: int, last: int) -> None:
    fill(database, [Table("bare_item", BARE)], first=first, last=last)


@contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    """One transaction, without care for power cuts; the server sets its own pragmas again."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.create_function("digest", 1, _digest, deterministic=True)
    connection.executescript(
        "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-500000; BEGIN;"
    )
    yield connection
    connection.execute("COMMIT")
    connection.close()


def _digest(number: int) -> str:
    return hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()


def _selected(table: Table) -> str:
    """Of the two parameters the numbers between them, both included, as rows of the table."""
    numbers = "WITH RECURSIVE numbers(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM numbers WHERE i < ?)"
    return f"{numbers} SELECT {', '.join(table.columns.values())} FROM numbers WHERE {table.where}"  # noqa: S608  (our own constants)
