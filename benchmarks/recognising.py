"""How fast the real recogniser is: its rows in SQLite, its vectors embedded, so many faces known.

In batches as the worker makes them, one after the other, each in a transaction of its own. The known faces
have their search index, as they have minutes after they came; those to be recognised are too new for it. The
first batch is not counted: with it everything is opened and read for the first time. All people are equally
large, and faces that follow one another are of different ones, so that no two in a batch share a neighbour.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vectors import QdrantVectorStore

DIMENSION = 512
PEOPLE = 500
BATCH = 5000
MODEL = f"fake-face-{DIMENSION}"


@dataclass(frozen=True)
class Speed:
    """In faces a second."""

    by_the_clock: float
    by_the_processor: float
    """As if nobody else had used it."""


def measure(folder: Path, *, known: int, fresh: int) -> Speed:
    os.environ.update(
        CL_SERVER_DIR=str(folder),
        ENV_FILE="",
        DATABASE_URL="",
        COMPUTE_BACKEND="fake",
        DJANGO_SETTINGS_MODULE="store_project.settings",
    )
    import django  # noqa: PLC0415  (after the environment)

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    from intelligence.processing import get_processing, shutdown_processing  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    _fill(known, fresh)
    recogniser = get_processing().recogniser
    recogniser.recognise(seconds=0)
    left = _left()
    clock, processor = time.perf_counter(), time.process_time()
    while recogniser.recognise(seconds=60):
        pass
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    done = left - _left()
    shutdown_processing()
    return Speed(done / clock, done / processor)


def _left() -> int:
    from intelligence.models import Face  # noqa: PLC0415

    return Face.objects.filter(recognised_with__isnull=True).count()


def _fill(known: int, fresh: int) -> None:
    """Closes the vectors then, as at the end of a process."""
    from django.conf import settings  # noqa: PLC0415

    from intelligence.models import KnownPerson  # noqa: PLC0415
    from vectors import COLLECTIONS, QdrantVectorStore, VectorKind  # noqa: PLC0415
    from vectors.collections import ModelCollection  # noqa: PLC0415
    from vectors.engines.edge import EdgeEngine  # noqa: PLC0415

    spec = COLLECTIONS[VectorKind.FACE]
    engine = EdgeEngine(settings.VECTORS.path)
    made = _Store(QdrantVectorStore(engine, spec))
    KnownPerson.objects.bulk_create(KnownPerson(pk=pk) for pk in range(1, PEOPLE + 1))
    made.fill(range(1, known + 1), is_known=True)
    while not engine.is_indexed(ModelCollection(spec.name, MODEL, DIMENSION).physical_name):
        time.sleep(1)
    made.fill(range(known + 1, known + fresh + 1), is_known=False)
    engine.close()


class _Store:
    def __init__(self, vectors: QdrantVectorStore) -> None:
        self.vectors = vectors
        self.dice = np.random.default_rng(5)
        own = self.dice.standard_normal((PEOPLE, DIMENSION))
        self.own = own / np.linalg.norm(own, axis=1, keepdims=True)

    def fill(self, ids: range, *, is_known: bool) -> None:
        for start in range(0, len(ids), BATCH):
            self._write(np.array(ids[start : start + BATCH]), is_known=is_known)

    def _write(self, ids: np.ndarray[tuple[int], np.dtype[np.int64]], *, is_known: bool) -> None:
        from django.utils import timezone  # noqa: PLC0415

        from entities.models import Entity  # noqa: PLC0415
        from intelligence.models import EntityJob, Face  # noqa: PLC0415
        from intelligence.vocabulary import JobStatus, TaskType  # noqa: PLC0415
        from vectors import VectorPoint  # noqa: PLC0415

        now = timezone.now()
        noise = self.dice.standard_normal((len(ids), DIMENSION)) / np.sqrt(DIMENSION)
        vectors = (np.sqrt(0.65) * self.own[ids % PEOPLE] + np.sqrt(0.35) * noise).astype(np.float32)
        Entity.objects.bulk_create(
            Entity(
                pk=int(pk),
                is_collection=False,
                type="image",
                md5=f"{pk:032x}",
                file_path=f"{pk}.jpg",
                added_date=now,
                updated_date=now,
            )
            for pk in ids
        )
        Face.objects.bulk_create(
            Face(
                pk=int(pk),
                entity_id=int(pk),
                bbox={"x1": 0.1, "y1": 0.1, "x2": 0.3, "y2": 0.3},
                landmarks={},
                confidence=0.9,
                quality=0.8,
                model="faces",
                known_person_id=int(pk % PEOPLE) + 1 if is_known else None,
                assigned_by="auto" if is_known else None,
                standing="core" if is_known else None,
                recognised_with=MODEL if is_known else None,
            )
            for pk in ids
        )
        EntityJob.objects.bulk_create(
            EntityJob(
                entity_id=int(pk),
                face_id=int(pk),
                task_type=TaskType.FACE_EMBEDDING,
                md5="",
                model=MODEL,
                status=JobStatus.COMPLETED,
                backend="fake",
            )
            for pk in ids
        )
        self.vectors.upsert(
            (
                VectorPoint(int(pk), vector, {"entity_id": int(pk), "face_id": int(pk), "hidden": False})
                for pk, vector in zip(ids, vectors, strict=True)
            ),
            model=MODEL,
        )
