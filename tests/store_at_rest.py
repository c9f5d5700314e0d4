"""What must be true of a store at rest, checked without the code under test: SQL, files and vectors."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.invariants import file_violations
from vectors import QdrantVectorStore, get_clip_store, get_dino_store, get_face_store

Points = Mapping[int, Mapping[str, Any]]
"""The payload of each vector, by its id."""


@dataclass(frozen=True)
class StoreAtRest:
    query: Callable[[str], list[tuple[Any, ...]]]
    media: Path
    spool: Path
    vectors: Mapping[str, Points]
    """By the name of the space: clip, dino, face."""

    def violations(self) -> list[str]:
        return [
            *file_violations(self.media, self.query),
            *self._rows(),
            *self._jobs(),
            *self._vectors(),
            *self._leftovers(),
        ]

    def _rows(self) -> Iterator[str]:
        for entity_id, md5, described, status, reason, face_count, faces, live_jobs, versions in self.query(
            """
            SELECT e.id, e.md5, i.md5, i.processing_status, i.error_message, i.face_count,
                   (SELECT COUNT(*) FROM intelligence_face f WHERE f.entity_id = e.id),
                   (SELECT COUNT(*) FROM intelligence_entityjob j WHERE j.entity_id = e.id
                    AND j.status IN ('pending', 'queued', 'in_progress')),
                   (SELECT COUNT(*) FROM entities_historicalentity h WHERE h.id = e.id)
            FROM entities_entity e LEFT JOIN intelligence_imageintelligence i ON i.entity_id = e.id
            WHERE e.type = 'image' AND NOT e.is_deleted
            """
        ):
            if described != md5:
                yield f"entity {entity_id} has no row for its content"
            if status != "completed" and not (status == "failed" and reason):
                yield f"entity {entity_id} is {status}"
            if face_count != faces:
                yield f"entity {entity_id} counts {face_count} faces and has {faces}"
            if live_jobs:
                yield f"entity {entity_id} still has {live_jobs} jobs"
            if not versions:
                yield f"entity {entity_id} has no history"

    def _jobs(self) -> Iterator[str]:
        """Each task of a completed image was done for its content, and once."""
        done = {
            (entity_id, task): number
            for entity_id, task, number in self.query(
                """
                SELECT j.entity_id, j.task_type, COUNT(*)
                FROM intelligence_entityjob j JOIN entities_entity e ON e.id = j.entity_id AND e.md5 = j.md5
                WHERE j.status = 'completed' AND j.face_id IS NULL GROUP BY j.entity_id, j.task_type
                """
            )
        }
        for (entity_id,) in self.query(COMPLETED):
            for task in ("face_detection", "clip_embedding", "dino_embedding"):
                number = done.get((entity_id, task), 0)
                if number != 1:
                    yield f"{task} of entity {entity_id} was completed {number} times"
        for face_id, number in self.query(
            """
            SELECT f.id, (SELECT COUNT(*) FROM intelligence_entityjob j
                          WHERE j.face_id = f.id AND j.status = 'completed')
            FROM intelligence_face f JOIN intelligence_imageintelligence i ON i.entity_id = f.entity_id
            WHERE i.processing_status = 'completed'
            """
        ):
            if number != 1:
                yield f"face {face_id} was embedded {number} times"

    def _vectors(self) -> Iterator[str]:
        contents = dict(self.query("SELECT id, md5 FROM entities_entity WHERE type = 'image'"))
        required = {pk for (pk,) in self.query(COMPLETED)}
        for space in ("clip", "dino"):
            points = self.vectors[space]
            yield from (f"{space} lacks a vector of {pk}" for pk in required - points.keys())
            for pk, payload in points.items():
                if pk not in contents:
                    yield f"{space} has a vector of {pk}, which nobody owns"
                elif payload["md5"] != contents[pk]:
                    yield f"the vector of {pk} in {space} describes other content"
        faces = dict(self.query("SELECT id, entity_id FROM intelligence_face"))
        embedded = {face for face, entity in faces.items() if entity in required}
        yield from (f"face lacks a vector of {pk}" for pk in embedded - self.vectors["face"].keys())
        for pk, payload in self.vectors["face"].items():
            if faces.get(pk) != payload["entity_id"]:
                yield f"face has a vector of {pk}, which nobody owns"

    def _leftovers(self) -> Iterator[str]:
        """Of a job that was called off, the message may have been lost, and who is killed in the middle of
        writing leaves the half of it: the spool's purge is for those.
        """
        ended = {
            job_id
            for (job_id,) in self.query(
                "SELECT job_id FROM intelligence_entityjob WHERE status IN ('completed', 'failed')"
            )
        }
        for path in self.spool.rglob("*.*"):
            if path.suffix != ".part" and path.name.partition(".")[0] in ended:
                yield f"a job was left in the spool: {path.name}"


COMPLETED = """
    SELECT e.id FROM entities_entity e JOIN intelligence_imageintelligence i ON i.entity_id = e.id
    WHERE e.type = 'image' AND NOT e.is_deleted AND i.processing_status = 'completed'
"""


def violations(server_dir: Path) -> list[str]:
    """Of the embedded store. Nobody may be working on the folder; `settings.VECTORS` must name its vectors.

    Here an image that failed is a violation too.
    """
    stores = {"clip": get_clip_store(), "dino": get_dino_store(), "face": get_face_store()}
    with closing(sqlite3.connect(server_dir / "store.db")) as database:

        def query(sql: str) -> list[tuple[Any, ...]]:
            return database.execute(sql).fetchall()

        at_rest = StoreAtRest(
            query,
            server_dir / "media",
            server_dir / "compute",
            {name: _points(s) for name, s in stores.items()},
        )
        failed = query(
            "SELECT entity_id FROM intelligence_imageintelligence WHERE processing_status = 'failed'"
        )
        return [*at_rest.violations(), *(f"entity {pk} failed" for (pk,) in failed)]


def _points(store: QdrantVectorStore) -> Points:
    return {record.id: record.payload for record in store.scroll()}
