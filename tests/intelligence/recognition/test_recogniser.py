from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from entities import services
from intelligence import model_versions, people
from intelligence.compute.base import Capabilities
from intelligence.models import Face, FaceMatch, KnownPerson, UpkeepMark
from intelligence.vocabulary import TaskType
from tests.factories import make_face
from tests.intelligence.pipeline import Pipeline
from tests.intelligence.recognition.crowd import MODEL, SAME_FROM, Crowd, person_of, standing_of

pytestmark = pytest.mark.django_db


def test_a_person_is_found_again(crowd: Crowd) -> None:
    first, second = crowd.face("Ada"), crowd.face("Ada")
    stranger = crowd.face("Bob")
    marks = UpkeepMark.objects.count()

    crowd.recognise()

    ada = person_of(first)
    assert ada is not None
    assert person_of(second) == ada
    assert person_of(stranger) not in (None, ada)
    assert KnownPerson.objects.count() == 2
    assert (first.assigned_by, first.standing, first.recognised_with) == ("auto", "core", MODEL)
    assert UpkeepMark.objects.count() == marks + 3
    (match,) = FaceMatch.objects.filter(face=second)
    assert (match.matched_face_id, match.threshold, match.model, match.rule) == (
        first.pk,
        SAME_FROM,
        MODEL,
        "core",
    )
    assert 0.6 < match.similarity < 0.85


def test_one_at_a_time_or_all_at_once(crowd: Crowd) -> None:
    faces = []
    for _ in range(3):
        faces += [crowd.face("Ada"), crowd.face("Bob")]
        crowd.recognise()
    assert len({person_of(face) for face in faces}) == KnownPerson.objects.count() == 2


def test_nothing_is_left_to_do_then(crowd: Crowd) -> None:
    for _ in range(3):
        crowd.face("Ada")
    crowd.recognise()
    before = list(FaceMatch.objects.values())
    with CaptureQueriesContext(connection) as captured:
        crowd.recognise()
    assert not [query for query in captured if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    assert list(FaceMatch.objects.values()) == before


def test_a_face_waits_for_its_embedding(crowd: Crowd) -> None:
    face = make_face(crowd.photo(), quality=0.9)
    crowd.recognise()
    assert (person_of(face), standing_of(face)) == (None, None)
    crowd.embed(face, crowd.likeness("Ada", 0.9))
    crowd.recognise()
    assert person_of(face) is not None


def test_vectors_that_were_lost_hold_nobody_up(crowd: Crowd) -> None:
    lost, there = crowd.face("Ada"), crowd.face("Ada")
    crowd.processing.recogniser.store.delete([lost.pk])
    crowd.recognise()
    assert (person_of(lost), lost.recognised_with) == (None, None)
    assert person_of(there) is not None


def test_a_model_that_recognises_nobody(
    crowd: Crowd, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = pipeline.client.capabilities()
    blind = replace(told.models[TaskType.FACE_EMBEDDING], same_person_from=None)

    def capabilities(_self: Any) -> Capabilities:
        return Capabilities(models={**told.models, TaskType.FACE_EMBEDDING: blind}, summary="")

    monkeypatch.setattr(type(pipeline.client), "capabilities", capabilities)
    face = crowd.face("Ada")
    crowd.recognise()
    assert not KnownPerson.objects.exists()
    assert (person_of(face), face.recognised_with) == (None, None)


def test_a_borderline_face_waits_until_there_is_evidence(crowd: Crowd) -> None:
    """It is like one of two that could speak; a third one decides."""
    own = crowd.likeness("Ada", 0.9)
    cores = [crowd.face("Ada", like=0.9) for _ in range(2)]
    crowd.recognise()
    vectors = crowd.processing.recogniser.store.fetch([face.pk for face in cores])
    aside = np.asarray(vectors[cores[0].pk] - vectors[cores[1].pk] + 0.35 * own, dtype=np.float32)
    borderline = crowd.embed(make_face(crowd.photo(), quality=0.9), aside / np.linalg.norm(aside))
    crowd.recognise()
    assert (person_of(borderline), standing_of(borderline)) == (None, "waiting")

    near = vectors[cores[0].pk] + 0.1 * own
    crowd.embed(make_face(crowd.photo(), quality=0.9), near / np.linalg.norm(near))
    crowd.recognise()

    assert person_of(borderline) == person_of(cores[0])


def test_the_trash_does_not_speak(crowd: Crowd) -> None:
    hidden = crowd.face("Ada")
    crowd.recognise()
    services.patch_entity(hidden.entity_id, changes={"is_deleted": True}, by=None)
    newer = crowd.face("Ada")
    crowd.recognise()
    assert person_of(newer) not in (None, person_of(hidden))


def test_two_on_a_photo_are_two_people(crowd: Crowd) -> None:
    photo = crowd.photo()
    one, other = crowd.face("Ada", photo=photo), crowd.face("Ada", photo=photo)
    crowd.recognise()
    assert len({person_of(one), person_of(other)}) == 2


def test_a_face_that_is_closer_takes_the_place(crowd: Crowd) -> None:
    for _ in range(3):
        crowd.face("Ada", like=0.9)
    photo = crowd.photo()
    early = crowd.face("Ada", like=0.65, photo=photo)
    crowd.recognise()
    ada = person_of(early)
    assert ada is not None

    late = crowd.face("Ada", like=0.9, photo=photo)
    crowd.recognise()

    assert person_of(late) == ada
    assert person_of(early) != ada


def test_photos_with_a_reflection_come_to_rest(crowd: Crowd) -> None:
    """On each the same person twice, once poorly: the poor faces wait, and hear the good ones once."""
    waiting = []
    for _ in range(3):
        photo = crowd.photo()
        crowd.face("Ada", like=0.98, photo=photo)
        waiting.append(crowd.face("Ada", like=0.8, photo=photo, quality=0.2))
        crowd.recognise()
    assert [standing_of(face) for face in waiting] == ["waiting"] * 3
    assert KnownPerson.objects.count() == 1


def test_decisions_outweigh_likeness(crowd: Crowd) -> None:
    faces = [crowd.face("Ada") for _ in range(4)]
    crowd.recognise()
    ada = person_of(faces[0])
    assert ada is not None
    people.reject(face_ids=[faces[0].pk], by="me")
    people.assign(face_ids=[faces[1].pk], person_id=None, name="Eve", by="me")

    crowd.recognise()

    assert person_of(faces[0]) not in (None, ada)
    assert person_of(faces[1]) == KnownPerson.objects.get(name="Eve").pk
    assert (faces[1].assigned_by, faces[1].standing) == ("user", "core")
    assert person_of(faces[2]) == person_of(faces[3]) == ada


def test_a_change_of_model_keeps_who_is_who(crowd: Crowd, pipeline: Pipeline) -> None:
    faces = [crowd.face("Ada") for _ in range(3)] + [crowd.face("Bob")]
    crowd.recognise()
    before = [person_of(face) for face in faces]
    other = "fake2-face-512"
    for number, face in enumerate(faces):  # by this one all are strangers to each other
        crowd.embed(face, crowd.likeness(f"stranger {number}", 0.9), model=other)
    pipeline.processing.jobs.models.wanted()
    pipeline.processing.jobs.models.begin(TaskType.FACE_EMBEDDING, other, by="me")
    model_versions.switch(TaskType.FACE_EMBEDDING, by="me", force=True)

    crowd.recognise()

    assert [person_of(face) for face in faces] == before
    assert {face.recognised_with for face in Face.objects.all()} == {other}


def test_a_batch_reads_as_often_as_a_single_face(crowd: Crowd) -> None:
    def queries(faces: int) -> int:
        for number in range(faces):
            crowd.face(f"person {number % 4}")
        with CaptureQueriesContext(connection) as captured:
            crowd.recognise()
        return sum(query["sql"].startswith("SELECT") for query in captured)

    queries(8)
    assert queries(2) == queries(30)
