"""Looking at a photo again, replacing it, removing it: what was decided about its faces stays true."""

from __future__ import annotations

import json
from typing import Any

import pytest

from entities import services
from entities.models import Entity
from entities.storage import EntityStorageService
from intelligence import faces, people, rows
from intelligence.compute.base import BoundingBox
from intelligence.models import Face, FaceDecision, FaceMatch, ImageIntelligence, KnownPerson, PeopleOperation
from intelligence.people.copies import Reader
from intelligence.vocabulary import TaskType
from tests.factories import jpeg, make_person, make_photo
from tests.intelligence.pipeline import Pipeline
from vectors import get_face_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]


@pytest.fixture
def photo(pipeline: Pipeline) -> Entity:
    made = make_photo(1)
    pipeline.work()
    return made


@pytest.fixture
def ada() -> KnownPerson:
    return make_person("Ada")


def look_again(pipeline: Pipeline, photo: Entity) -> list[Face]:
    before = set(faces_on(photo))
    rows.make_pending([photo.pk], TaskType.FACE_DETECTION)
    pipeline.work()
    after = faces_on(photo)
    assert before.isdisjoint(after) or not before
    return after


def faces_on(photo: Entity) -> list[Face]:
    """From left to right."""
    return sorted(Face.objects.filter(entity=photo), key=lambda face: face.bbox["x1"])


def shifted(monkeypatch: pytest.MonkeyPatch, by: float) -> None:
    """The detector draws its boxes elsewhere from now on."""
    from intelligence.compute import fake  # noqa: PLC0415

    drawn = fake.face_box

    def face_box(number: int, count: int) -> BoundingBox:
        box = drawn(number, count)
        return BoundingBox(box.x1 + by, box.y1, box.x2 + by, box.y2)

    monkeypatch.setattr(fake, "face_box", face_box)


def person_of(face: Face) -> tuple[int | None, str | None]:
    face.refresh_from_db()
    return face.known_person_id, face.assigned_by


def test_who_they_are_goes_over(
    pipeline: Pipeline, photo: Entity, ada: KnownPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = faces_on(photo)
    people.assign(face_ids=[left.pk], person_id=ada.pk, by="me")
    people.set_cover(person_id=ada.pk, face_id=left.pk, by="me")
    by_machine = make_person()
    Face.objects.filter(pk=right.pk).update(
        known_person=by_machine, assigned_by="auto", standing="following", recognised_with="model"
    )
    FaceMatch.objects.create(
        face=right, matched_face=left, similarity=0.6, threshold=0.5, model="model", rule="core"
    )
    shifted(monkeypatch, 0.02)

    new_left, new_right = look_again(pipeline, photo)

    assert person_of(new_left) == (ada.pk, "user")
    assert person_of(new_right) == (by_machine.pk, "auto")
    assert (new_right.standing, new_right.recognised_with) == ("following", None)
    decision = FaceDecision.objects.get()
    assert (decision.face_id, decision.bbox) == (new_left.pk, new_left.bbox)
    ada.refresh_from_db()
    assert ada.cover_face_id == new_left.pk
    payload = get_face_store().fetch_points([new_left.pk])[new_left.pk].payload
    assert payload["known_person_id"] == ada.pk


def test_a_decision_sleeps_where_the_face_is_not_found(
    pipeline: Pipeline, photo: Entity, ada: KnownPerson, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = faces_on(photo)
    people.assign(face_ids=[left.pk], person_id=ada.pk, by="me")
    people.reject(face_ids=[right.pk], person_id=ada.pk, by="me")
    with monkeypatch.context() as elsewhere:
        shifted(elsewhere, 0.15)
        assert [person_of(face) for face in look_again(pipeline, photo)] == [(None, None)] * 2
    assert set(FaceDecision.objects.values_list("face", flat=True)) == {None}

    new_left, new_right = look_again(pipeline, photo)

    assert person_of(new_left) == (ada.pk, "user")
    said = FaceDecision.objects.values_list("face_id", "verdict")
    assert set(said) == {(new_left.pk, "is"), (new_right.pk, "is_not")}


def test_an_undo_finds_the_new_face(pipeline: Pipeline, photo: Entity, ada: KnownPerson) -> None:
    left, _ = faces_on(photo)
    operation = people.assign(face_ids=[left.pk], person_id=ada.pk, by="me")
    confirmed = people.reject(face_ids=[left.pk], by="me")
    new_left, _ = look_again(pipeline, photo)

    people.undo(operation_id=confirmed.pk, by="me")
    assert person_of(new_left) == (ada.pk, "user")
    assert FaceDecision.objects.get().face_id == new_left.pk
    people.undo(operation_id=operation.pk, by="me")
    assert person_of(new_left) == (None, None)


def test_a_removed_face_does_not_come_back(pipeline: Pipeline, photo: Entity, ada: KnownPerson) -> None:
    left, right = faces_on(photo)
    people.assign(face_ids=[left.pk], person_id=ada.pk, by="me")

    storage = EntityStorageService.from_settings()
    faces.remove(face_id=left.pk, storage=storage, store=get_face_store(), by="me")
    (found,) = look_again(pipeline, photo)

    assert found.bbox == right.bbox
    assert ImageIntelligence.objects.get().face_count == 1
    decision = FaceDecision.objects.get()
    assert (decision.verdict, decision.person_id, decision.decided_by) == ("no_face", None, "me")


def test_a_removed_face_comes_back_with_who_it_was(
    pipeline: Pipeline, photo: Entity, ada: KnownPerson
) -> None:
    left, _ = faces_on(photo)
    people.assign(face_ids=[left.pk], person_id=ada.pk, by="me")
    people.set_cover(person_id=ada.pk, face_id=left.pk, by="me")
    remove(left)

    people.undo(operation_id=PeopleOperation.objects.latest("pk").pk, by="me")
    assert [face.pk for face in faces_on(photo)] == [left.pk, left.pk + 1]
    assert ImageIntelligence.objects.get().face_count == 2
    pipeline.work()

    found, _ = faces_on(photo)
    assert (found.bbox, person_of(found)) == (left.bbox, (ada.pk, "user"))
    assert EntityStorageService.from_settings().resolve(found.file_path).exists()
    assert set(get_face_store().fetch([found.pk])) == {found.pk}
    ada.refresh_from_db()
    assert ada.cover_face_id == found.pk
    assert FaceDecision.objects.get().face_id == found.pk


def test_a_removed_face_stays_away_from_other_content(pipeline: Pipeline, photo: Entity) -> None:
    left, _ = faces_on(photo)
    remove(left)
    replace(photo, jpeg(2))
    pipeline.work()
    there = faces_on(photo)
    people.undo(operation_id=PeopleOperation.objects.latest("pk").pk, by="me")
    assert faces_on(photo) == there
    assert not FaceDecision.objects.exists()


def test_a_removed_face_cannot_come_back_to_who_is_gone(
    pipeline: Pipeline, photo: Entity, ada: KnownPerson
) -> None:
    left, _ = faces_on(photo)
    people.reject(face_ids=[left.pk], person_id=ada.pk, by="me")
    remove(left)
    removal = PeopleOperation.objects.latest("pk")
    merged = people.merge(survivor_id=make_person("Bob").pk, other_ids=[ada.pk], by="me")
    with pytest.raises(people.ConflictError, match="not there any more"):
        people.undo(operation_id=removal.pk, by="me")
    people.undo(operation_id=merged.pk, by="me")
    people.undo(operation_id=removal.pk, by="me")
    assert FaceDecision.objects.get().face_id == left.pk


def remove(face: Face) -> None:
    storage = EntityStorageService.from_settings()
    faces.remove(face_id=face.pk, storage=storage, store=get_face_store(), by="me")


def test_a_copied_verdict_that_there_is_no_face_takes_effect(pipeline: Pipeline, photo: Entity) -> None:
    left, right = faces_on(photo)
    about = {"md5": photo.md5, "bbox": left.bbox, "person": None, "verdict": "no_face", "by": "ben"}
    copied = json.dumps({"of": "decision", **about})
    people.assign(face_ids=[left.pk], person_id=None, by="me")
    assert Reader().read([copied]) == {"other": 1}
    people.undo(operation_id=PeopleOperation.objects.latest("pk").pk, by="me")

    assert Reader().read([copied]) == {"done": 1}
    pipeline.work()
    assert [face.bbox for face in faces_on(photo)] == [right.bbox]
    assert Reader().read([copied]) == {"there": 1}
    people.undo(operation_id=PeopleOperation.objects.latest("pk").pk, by="me")
    pipeline.work()
    assert [face.bbox for face in faces_on(photo)] == [left.bbox, right.bbox]


def test_other_content_is_another_photo(
    pipeline: Pipeline, photo: Entity, ada: KnownPerson, media_root: Any
) -> None:
    left, right = faces_on(photo)
    people.assign(face_ids=[left.pk], person_id=ada.pk, by="me")
    storage = EntityStorageService.from_settings()
    faces.remove(face_id=right.pk, storage=storage, store=get_face_store(), by="me")

    replace(photo, jpeg(2))
    pipeline.work()
    assert [person_of(face) for face in faces_on(photo)] == [(None, None)] * 2

    replace(photo, jpeg(1))
    pipeline.work()
    (found,) = faces_on(photo)
    assert person_of(found) == (ada.pk, "user")


def replace(photo: Entity, content: bytes) -> None:
    storage = EntityStorageService.from_settings()
    with storage.receive([content]) as incoming:
        services.replace_entity(photo.pk, storage=storage, incoming=incoming, is_collection=False, label="x")


def test_what_is_removed_for_good_leaves_the_person(
    pipeline: Pipeline, photo: Entity, ada: KnownPerson
) -> None:
    left, _ = faces_on(photo)
    people.assign(face_ids=[left.pk], person_id=ada.pk, by="me")
    people.set_cover(person_id=ada.pk, face_id=left.pk, by="me")

    services.patch_entity(photo.pk, changes={"is_deleted": True}, by=None)
    services.remove_entity(photo.pk, storage=EntityStorageService.from_settings())
    pipeline.work()

    ada.refresh_from_db()
    assert ada.cover_face_id is None
    assert not FaceDecision.objects.exists()
    assert not Face.objects.exists()
    assert get_face_store().count() == 0
