"""A small store with one of everything, for tests that ask for all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User

from entities.guest_mode import set_guest_mode
from entities.models import Entity
from entities.storage import EntityStorageService
from intelligence import capabilities, errands, hints, people, processing
from intelligence.capabilities import ModelFacts
from intelligence.compute.base import ComputeSettings
from intelligence.compute.fake import FakeComputeClient, FakeModels
from intelligence.models import (
    DuplicateCandidate,
    DuplicatePair,
    Face,
    FaceMatch,
    KnownPerson,
    SearchEncoding,
)
from intelligence.processing import IntelligenceProcessingService
from intelligence.vocabulary import JobStatus, TaskType
from tests.factories import (
    make_collection,
    make_face,
    make_intelligence,
    make_job,
    make_person,
    make_photo,
    store,
)
from tests.intelligence.likeness import DIMENSION, direction, put


def look_at_searches(keys: Sequence[str]) -> None:
    """A worker for which all that is searched for is like the first photo."""
    for space, dimension in DIMENSION.items():
        vector = direction(0, dimension=dimension).tobytes()
        SearchEncoding.objects.filter(pk__in=keys, space=space).update(vector=vector, model="model")


def answer_errands(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """As a worker does that has the vectors open; at once."""
    settings = ComputeSettings(spool=folder / "compute")
    client = FakeComputeClient(settings, FakeModels(settings), lambda _ids: None)
    storage = EntityStorageService.from_settings()
    monkeypatch.setattr(processing, "_service", IntelligenceProcessingService.of(client, storage))

    def send(task: str, *_arguments: object, **_options: object) -> None:
        if task == "run_errands":
            errands.run_waiting()

    monkeypatch.setattr(hints, "send", send)


FACE_RULE = {"similarity": 0.9, "threshold": 0.7, "model": "model", "rule": "nearest"}


@dataclass(frozen=True)
class Populated:
    admin: User
    photos: list[Entity]
    faces: list[Face]
    ids: dict[str, list[int]]
    """By the names that paths have for them; the first of each has the most to tell."""

    def put_vectors(self) -> None:
        angles: dict[Any, float] = {photo: 5.0 * number for number, photo in enumerate(self.photos)}
        put("clip", angles)
        put("dino", angles)
        group = self.photos[0].pk
        for photo in self.photos:
            DuplicateCandidate.objects.get_or_create(
                entity_id=photo.pk, md5=photo.md5 or "", model="model", hidden=False, group=group
            )
        first, second = (photo.pk for photo in self.photos)
        DuplicatePair.objects.get_or_create(first=first, second=second, score=0.99)
        capabilities.tell({"model": ModelFacts(understands_text=True, near_duplicates_from=0.9)})
        put("face", {face: 5.0 * number for number, face in enumerate(self.faces)})


def populate() -> Populated:
    """Two photos with a face each, both of one person; a third with a face of somebody who may be the same,
    and one that waits; a text; collections, one of them in the trash."""
    collection = make_collection("Holidays")
    third = make_photo(3, label="photo 3", parent_id=collection.pk)
    photos = [make_photo(seed, label=f"photo {seed}", parent_id=collection.pk) for seed in (1, 2)]
    text = store(b"some words\n", label="notes").entity
    trashed = make_collection("Old")
    Entity.objects.filter(pk=trashed.pk).update(is_deleted=True)
    person = make_person()
    faces = [make_face(photo, known_person=person) for photo in photos]
    FaceMatch.objects.create(face=faces[0], matched_face=faces[1], **FACE_RULE)
    for photo in photos:
        make_intelligence(photo, face_count=1)
        make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.COMPLETED)
    nameless = make_nameless()
    alike, waits = make_face(third, known_person=nameless), make_face(third, standing="waiting")
    FaceMatch.objects.create(face=alike, matched_face=faces[0], **{**FACE_RULE, "rule": "another"})
    FaceMatch.objects.create(face=waits, matched_face=faces[0], **FACE_RULE)
    named = people.rename(person_id=person.pk, name="Ada", by=None)
    admin = User.objects.create_superuser("ada", password="a password of hers")
    set_guest_mode(is_on=True, by=str(admin.pk))
    return Populated(
        admin=admin,
        photos=photos,
        faces=faces,
        ids={
            "entity_id": [entity.pk for entity in (*photos, collection, text, trashed)],
            "face_id": [face.pk for face in faces],
            "person_id": [person.pk, nameless.pk],
            "operation_id": [named.pk],
        },
    )


def make_nameless() -> KnownPerson:
    return make_person()
