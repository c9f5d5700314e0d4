"""What must be true of entities and their files, checked without the code under test: SQL and files."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from django.db import connection

MAX_DEPTH = 10

Rows = Callable[[str], Iterable[tuple[Any, ...]]]
"""What a query finds."""


def entity_violations(media: Path, rows: Rows | None = None) -> list[str]:
    """Of entities and their files alone, leftovers too; in the database of this process unless another is
    given."""
    rows = rows or _rows_here
    return [*file_violations(media, rows), *_unnamed(rows, media)]


def file_violations(media: Path, rows: Rows | None = None) -> list[str]:
    """What may not even be so in the middle of a change, or after a crash."""
    rows = rows or _rows_here
    return [*_files(rows, media), *_tree(rows), *_histories(rows), *_counts(rows)]


def _rows_here(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def _files(rows: Rows, media: Path) -> Iterator[str]:
    for entity_id, md5, file_path in rows(
        "SELECT id, md5, file_path FROM entities_entity WHERE NOT is_collection"
    ):
        file = media / file_path
        if not file.is_file():
            yield f"entity {entity_id} names a file that is missing"
        elif hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() != md5:
            yield f"the file of entity {entity_id} is not what it was"
    for face_id, file_path in rows("SELECT id, file_path FROM intelligence_face"):
        if not (media / file_path).is_file():
            yield f"the crop of face {face_id} is missing"


def _unnamed(rows: Rows, media: Path) -> Iterator[str]:
    """Files that belong to nobody, and rows of files that wait for their removal."""
    named = {file_path for (file_path,) in rows("SELECT file_path FROM entities_entity")}
    contents = {md5 for (md5,) in rows("SELECT md5 FROM entities_entity")}
    for path in sorted(path for path in media.rglob("*") if path.is_file()):
        folder, name = path.relative_to(media).parts[0], str(path.relative_to(media))
        owned = path.stem in contents if folder == "previews" else name in named
        if folder in {"store", "previews", "incoming"} and not owned:
            yield f"{name} belongs to nobody"
    yield from (f"{path} is still to go" for (path,) in rows("SELECT file_path FROM entities_discardedfile"))


def _tree(rows: Rows) -> Iterator[str]:
    parents: dict[int, int | None] = dict(rows("SELECT id, parent_id FROM entities_entity"))
    for start, parent in parents.items():
        depth, above = 1, parent
        while above is not None and depth <= MAX_DEPTH:
            depth, above = depth + 1, parents[above]
        if depth > MAX_DEPTH:
            yield f"entity {start} is too deep, or in a cycle"


def _histories(rows: Rows) -> Iterator[str]:
    """The last version of each entity says what its row says; what is gone says so."""
    query = """
        SELECT h.id, h.history_type, h.md5, h.file_path, h.is_deleted, h.parent_id, h.label,
               e.id, e.md5, e.file_path, e.is_deleted, e.parent_id, e.label
        FROM entities_historicalentity h LEFT JOIN entities_entity e ON e.id = h.id
        WHERE h.history_id = (SELECT MAX(history_id) FROM entities_historicalentity WHERE id = h.id)
    """
    recorded = set()
    for entity_id, change, *values in rows(query):
        recorded.add(entity_id)
        version, row = values[:5], values[6:]
        exists = values[5] is not None
        if exists != (change != "-") or (exists and version != row):
            yield f"the last version of entity {entity_id} is not its row"
    for (entity_id,) in rows("SELECT id FROM entities_entity"):
        if entity_id not in recorded:
            yield f"entity {entity_id} has no history"


def _counts(rows: Rows) -> Iterator[str]:
    counted = """
        SELECT parent_id, type, is_deleted, SUM(number) FROM entities_count
        WHERE parent_id IN (-1, 0) OR parent_id IN (SELECT id FROM entities_entity)
        GROUP BY parent_id, type, is_deleted HAVING SUM(number) <> 0
    """
    actual = """
        SELECT -1, COALESCE(type, ''), is_deleted, COUNT(*) FROM entities_entity GROUP BY 1, 2, 3
        UNION ALL
        SELECT COALESCE(parent_id, 0), COALESCE(type, ''), is_deleted, COUNT(*)
        FROM entities_entity GROUP BY 1, 2, 3
    """
    kept, true = {tuple(row) for row in rows(counted)}, {tuple(row) for row in rows(actual)}
    if kept != true:
        yield f"the entities are miscounted: {sorted(kept - true)} instead of {sorted(true - kept)}"
