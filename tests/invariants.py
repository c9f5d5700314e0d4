"""What must be true of a data folder at rest, checked without the code under test: SQL, files and vectors."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from vectors import QdrantVectorStore, get_clip_store, get_dino_store, get_face_store


def violations(server_dir: Path) -> list[str]:
    """Nobody may be working on the folder; `settings.VECTORS` must name its vectors."""
    with closing(sqlite3.connect(server_dir / "store.db")) as database:
        return [
            *_files(database, server_dir / "media"),
            *_rows(database),
            *_vectors(database),
            *_leftovers(server_dir),
        ]


def _files(database: sqlite3.Connection, media: Path) -> Iterator[str]:
    for entity_id, md5, file_path in database.execute(
        "SELECT id, md5, file_path FROM entities_entity WHERE NOT is_collection"
    ):
        file = media / file_path
        if not file.is_file():
            yield f"entity {entity_id} names a file that is missing"
        elif hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest() != md5:
            yield f"the file of entity {entity_id} is not what it was"
    for face_id, file_path in database.execute("SELECT id, file_path FROM intelligence_face"):
        if not (media / file_path).is_file():
            yield f"the crop of face {face_id} is missing"


def _rows(database: sqlite3.Connection) -> Iterator[str]:
    query = """
        SELECT e.id, e.md5, i.md5, i.processing_status, i.face_count,
               (SELECT COUNT(*) FROM intelligence_face f WHERE f.entity_id = e.id),
               (SELECT COUNT(*) FROM intelligence_entityjob j WHERE j.entity_id = e.id
                AND j.status IN ('pending', 'queued', 'in_progress')),
               (SELECT COUNT(*) FROM entities_historicalentity h WHERE h.id = e.id)
        FROM entities_entity e LEFT JOIN intelligence_imageintelligence i ON i.entity_id = e.id
        WHERE e.type = 'image' AND NOT e.is_deleted
    """
    for entity_id, md5, described, status, face_count, faces, live_jobs, versions in database.execute(query):
        if described != md5:
            yield f"entity {entity_id} has no row for its content"
        if status != "completed":
            yield f"entity {entity_id} is {status}"
        if face_count != faces:
            yield f"entity {entity_id} counts {face_count} faces and has {faces}"
        if live_jobs:
            yield f"entity {entity_id} still has {live_jobs} jobs"
        if not versions:
            yield f"entity {entity_id} has no history"


def _vectors(database: sqlite3.Connection) -> Iterator[str]:
    images = _ids(database, "SELECT id FROM entities_entity WHERE type = 'image' AND NOT is_deleted")
    faces = _ids(database, "SELECT id FROM intelligence_face")
    for name, store, owners in [
        ("clip", get_clip_store(), images),
        ("dino", get_dino_store(), images),
        ("face", get_face_store(), faces),
    ]:
        points = _points(store)
        yield from (f"{name} lacks a vector of {pk}" for pk in owners - points)
        yield from (f"{name} has a vector of {pk}, which nobody owns" for pk in points - owners)


def _leftovers(server_dir: Path) -> Iterator[str]:
    spool = server_dir / "compute"
    yield from (f"a job was left in the spool: {path.parent.name}" for path in spool.rglob("request.json"))


def _ids(database: sqlite3.Connection, query: str) -> set[int]:
    return {pk for (pk,) in database.execute(query)}


def _points(store: QdrantVectorStore) -> set[int]:
    return {record.id for record in store.scroll()}
