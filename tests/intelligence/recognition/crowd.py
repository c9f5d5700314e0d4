"""Made-up people: each has a direction, and a face of theirs is as like it as the test says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from entities.models import Entity
from intelligence.models import EntityJob, Face
from intelligence.processing import IntelligenceProcessingService
from intelligence.vocabulary import JobStatus, TaskType
from tests.factories import make_face, make_job, make_photo
from vectors import VectorPoint, get_face_store
from vectors.schemas import Vector

MODEL = "fake-face-512"
TASKS = 10
"""As many as a busy machine may need for what the tests ask for."""
SAME_FROM = 0.5
"""Of the fake model."""


def unit(values: NDArray[Any]) -> Vector:
    return np.asarray(values / np.linalg.norm(values), dtype=np.float32)


@dataclass
class Crowd:
    processing: IntelligenceProcessingService
    dice: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    photos: int = 0
    people: dict[str, Vector] = field(default_factory=dict)

    def photo(self, **fields: Any) -> Entity:
        self.photos += 1
        return make_photo(self.photos, **fields)

    def likeness(self, who: str, like: float) -> Vector:
        """A vector with exactly this cosine to the person's own direction."""
        if who not in self.people:
            self.people[who] = unit(self.dice.standard_normal(512))
        own = self.people[who]
        aside = self.dice.standard_normal(512)
        aside -= (aside @ own) * own
        return unit(like * own + np.sqrt(1 - like**2) * unit(aside))

    def sibling(self, who: str, of: str, like: float) -> None:
        self.people[who] = self.likeness(of, like)

    def face(self, who: str, *, like: float = 0.85, photo: Entity | None = None, **fields: Any) -> Face:
        """Two good faces of one person are about like**2 alike."""
        face = make_face(photo or self.photo(), **{"quality": 0.9, **fields})
        return self.embed(face, self.likeness(who, like))

    def embed(self, face: Face, vector: Vector, model: str = MODEL) -> Face:
        payload = {"entity_id": face.entity_id, "face_id": face.pk, "known_person_id": face.known_person_id}
        get_face_store().upsert([VectorPoint(face.pk, vector, payload)], model=model)
        self.job(face, model)
        return face

    def job(self, face: Face, model: str = MODEL) -> EntityJob:
        return make_job(face.entity, TaskType.FACE_EMBEDDING, JobStatus.COMPLETED, face=face, model=model)

    def recognise(self) -> None:
        """Until nothing is left to do."""
        assert any(not self.processing.recogniser.recognise() for _ in range(TASKS))


def person_of(face: Face) -> int | None:
    face.refresh_from_db()
    return face.known_person_id


def standing_of(face: Face) -> str | None:
    face.refresh_from_db()
    return face.standing
