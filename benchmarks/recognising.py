"""How fast the real recogniser is: its rows in SQLite, its vectors embedded, so many faces known."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

DIMENSION = 512
PEOPLE = 500
BATCH = 5000


def measure(folder: Path, *, known: int, fresh: int) -> float:
    """Faces a second."""
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
    _Store(known).fill(known, fresh)
    recogniser = get_processing().recogniser
    began = time.perf_counter()
    while recogniser.recognise(seconds=60):
        pass
    seconds = time.perf_counter() - began
    shutdown_processing()
    return fresh / seconds


class _Store:
    def __init__(self, known: int) -> None:
        dice = np.random.default_rng(5)
        self.dice = dice
        own = dice.standard_normal((PEOPLE, DIMENSION))
        self.own = own / np.linalg.norm(own, axis=1, keepdims=True)

    def fill(self, known: int, fresh: int) -> None:
        from intelligence.people_models import KnownPerson  # noqa: PLC0415

        KnownPerson.objects.bulk_create(KnownPerson(pk=pk) for pk in range(1, PEOPLE + 1))
        for start in range(0, known + fresh, BATCH):
            ids = np.arange(start + 1, min(start + BATCH, known + fresh) + 1)
            self._write(ids, known)

    def _write(self, ids: np.ndarray[tuple[int], np.dtype[np.int64]], known: int) -> None:
        from django.utils import timezone  # noqa: PLC0415

        from entities.models import Entity  # noqa: PLC0415
        from intelligence.models import EntityJob, Face  # noqa: PLC0415
        from intelligence.vocabulary import JobStatus, TaskType  # noqa: PLC0415
        from vectors import VectorPoint, get_face_store  # noqa: PLC0415

        model, now = f"fake-face-{DIMENSION}", timezone.now()
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
                known_person_id=int(pk % PEOPLE) + 1 if pk <= known else None,
                assigned_by="auto" if pk <= known else None,
                standing="core" if pk <= known else None,
                recognised_with=model if pk <= known else None,
            )
            for pk in ids
        )
        EntityJob.objects.bulk_create(
            EntityJob(
                entity_id=int(pk),
                face_id=int(pk),
                task_type=TaskType.FACE_EMBEDDING,
                md5="",
                model=model,
                status=JobStatus.COMPLETED,
                backend="fake",
            )
            for pk in ids
        )
        get_face_store().upsert(
            (
                VectorPoint(int(pk), vector, {"entity_id": int(pk), "face_id": int(pk), "hidden": False})
                for pk, vector in zip(ids, vectors, strict=True)
            ),
            model=model,
        )
