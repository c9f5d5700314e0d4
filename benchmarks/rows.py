"""Rows by the million, written by SQL straight into a stopped server's SQLite file."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

FAMILY = 100
"""Of so many rows the first is a collection and the others are images in it."""
OFTEN_CHANGED = 10
"""Each so-manieth entity has three versions, the others one."""

_ADDED = "strftime('%Y-%m-%d %H:%M:%S.000000', 1600000000 + i * 60, 'unixepoch')"
_IS_COLLECTION = f"i % {FAMILY} = 1"


def _of_images(expression: str) -> str:
    return f"CASE WHEN {_IS_COLLECTION} THEN NULL ELSE {expression} END"


ENTITY: Mapping[str, str] = {
    "id": "i",
    "is_collection": _IS_COLLECTION,
    "label": f"iif({_IS_COLLECTION}, 'Album ' || i, 'IMG_' || i || '.jpg')",
    "description": "'Number ' || i || ' of many'",
    "parent_id": _of_images(f"(i - 1) / {FAMILY} * {FAMILY} + 1"),
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
    "file_path": _of_images("'store/2020/09/13/' || digest(i) || '.jpg'"),
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
_COMPLETED = {
    "entity_id": "i",
    "md5": "digest(i)",
    "version": "i",
    "image_path": "'store/2020/09/13/' || digest(i) || '.jpg'",
    "priority": "30",
    "processing_status": "'completed'",
    "face_detection_status": "'completed'",
    "clip_status": "'completed'",
    "dino_status": "'completed'",
    "face_embedding_status": "'completed'",
    "face_count": "i % 3",
    "error_message": "''",
    "created_at": _ADDED,
    "updated_at": _ADDED,
}


def fill_store(database: Path, *, first: int, last: int, looked_at: bool = True) -> None:
    """Entities `first` to `last` with their versions; the images are through all of their tasks, or new."""
    with _opened(database) as connection:
        _insert(connection, "entities_entity", ENTITY, first, last)
        _insert(connection, "entities_historicalentity", {**_HISTORY, "history_type": "'+'"}, first, last)
        often = f"i % {OFTEN_CHANGED} = 0"
        changed = {**_HISTORY, "history_type": "'~'"}
        for _ in range(2):
            _insert(connection, "entities_historicalentity", changed, first, last, where=often)
        if looked_at:
            images = f"NOT ({_IS_COLLECTION})"
            _insert(connection, "intelligence_imageintelligence", _COMPLETED, first, last, where=images)


def entities_with(versions: int) -> int:
    """How many entities have about so many versions together."""
    return versions * OFTEN_CHANGED // (OFTEN_CHANGED + 2)


def fill_bare(database: Path, *, first: int, last: int) -> None:
    with _opened(database) as connection:
        _insert(connection, "bare_item", BARE, first, last)


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


def _insert(
    connection: sqlite3.Connection,
    table: str,
    columns: Mapping[str, str],
    first: int,
    last: int,
    *,
    where: str = "true",
) -> None:
    names, values = ", ".join(f'"{name}"' for name in columns), ", ".join(columns.values())
    numbers = "WITH RECURSIVE numbers(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM numbers WHERE i < ?)"
    connection.execute(
        f"{numbers} INSERT INTO {table} ({names}) SELECT {values} FROM numbers WHERE {where}",  # noqa: S608  (our own constants)
        [first, last],
    )
