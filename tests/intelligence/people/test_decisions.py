from __future__ import annotations

import pytest

from intelligence import people
from intelligence.models import Face, FaceDecision, KnownPerson, PeopleOperation, PersonDistinction
from tests.intelligence.people.conftest import Library

pytestmark = pytest.mark.django_db


def person_of(face: Face) -> tuple[int | None, str | None]:
    face.refresh_from_db()
    return face.known_person_id, face.assigned_by


def said_of(face: Face) -> set[tuple[str, int | None]]:
    return set(FaceDecision.objects.filter(face=face).values_list("verdict", "person_id"))


def faces_of(person: KnownPerson) -> list[Face]:
    return list(Face.objects.filter(known_person=person))


def test_confirming(library: Library) -> None:
    ada = library.person("Ada", faces=2)
    face, other = faces_of(ada)

    operation = people.confirm(face_ids=[face.pk], by="me")

    assert person_of(face) == (ada.pk, "user")
    assert said_of(face) == {("is", ada.pk)}
    assert person_of(other) == (ada.pk, "auto")
    assert (operation.kind, operation.by, operation.summary) == ("confirm", "me", f"Confirmed face {face.pk}")
    decision = FaceDecision.objects.get()
    assert (decision.md5, decision.bbox, decision.decided_by) == (face.entity.md5, face.bbox, "me")


def test_saying_again_what_was_said_is_no_operation(library: Library) -> None:
    ada = library.person("Ada", faces=1)
    people.confirm(face_ids=[faces_of(ada)[0].pk], by="me")
    assert people.confirm(face_ids=[faces_of(ada)[0].pk], by="you").pk is None
    people.rename(person_id=ada.pk, name="Ada", by="you")
    assert PeopleOperation.objects.count() == 1


def test_nobody_cannot_be_confirmed(library: Library) -> None:
    with pytest.raises(people.PeopleError, match="taken for nobody"):
        people.confirm(face_ids=[library.face().pk], by="me")


def test_rejecting_sets_free(library: Library) -> None:
    ada = library.person("Ada", faces=2)
    face = faces_of(ada)[0]
    Face.objects.update(recognised_with="model")

    people.reject(face_ids=[face.pk], by="me")

    assert person_of(face) == (None, None)
    assert said_of(face) == {("is_not", ada.pk)}
    assert face.recognised_with is None


def test_rejecting_whom_nobody_took_it_for(library: Library) -> None:
    """A suggestion that is wrong."""
    ada, bob = library.person("Ada", faces=1), library.person("Bob")
    face = faces_of(ada)[0]

    people.reject(face_ids=[face.pk], person_id=bob.pk, by="me")

    assert person_of(face) == (ada.pk, "auto")
    assert said_of(face) == {("is_not", bob.pk)}


def test_assigning_takes_back_what_said_otherwise(library: Library) -> None:
    ada, bob = library.person("Ada", faces=1), library.person("Bob")
    face = faces_of(ada)[0]
    people.confirm(face_ids=[face.pk], by="me")
    people.reject(face_ids=[face.pk], person_id=bob.pk, by="me")

    people.assign(face_ids=[face.pk], person_id=bob.pk, by="me")

    assert person_of(face) == (bob.pk, "user")
    assert said_of(face) == {("is", bob.pk)}


def test_assigning_to_somebody_new(library: Library) -> None:
    face = library.face()
    people.assign(face_ids=[face.pk], person_id=None, name="Ada", by="me")
    ada = KnownPerson.objects.get()
    assert person_of(face) == (ada.pk, "user")
    assert (ada.name, ada.history.get().history_user_id) == ("Ada", "me")


def test_whom_the_machine_saw_beside_makes_way(library: Library) -> None:
    ada = library.person("Ada", faces=1)
    taken = faces_of(ada)[0]
    beside = library.face(entity=taken.entity)

    people.assign(face_ids=[beside.pk], person_id=ada.pk, by="me")

    assert person_of(taken) == (None, None)
    assert person_of(beside) == (ada.pk, "user")


def test_a_user_may_see_somebody_twice_on_a_photo(library: Library) -> None:
    ada = library.person("Ada", faces=1)
    first = faces_of(ada)[0]
    people.confirm(face_ids=[first.pk], by="me")
    mirrored = library.face(entity=first.entity)

    people.assign(face_ids=[mirrored.pk], person_id=ada.pk, by="me")

    assert person_of(first) == person_of(mirrored) == (ada.pk, "user")


def test_a_split_keeps_them_apart(library: Library) -> None:
    ada = library.person("Ada", faces=3)
    stays, *goes = faces_of(ada)
    ada.cover_face = goes[0]
    ada.save()

    people.split(person_id=ada.pk, face_ids=[face.pk for face in goes], name="Eve", by="me")

    eve = KnownPerson.objects.get(name="Eve")
    assert person_of(stays) == (ada.pk, "auto")
    assert {person_of(face) for face in goes} == {(eve.pk, "user")}
    assert PersonDistinction.objects.get().other_id == eve.pk
    ada.refresh_from_db()
    assert ada.cover_face_id is None


@pytest.mark.parametrize("wrong", ["all", "stranger"])
def test_a_split_that_is_none(library: Library, wrong: str) -> None:
    ada, bob = library.person("Ada", faces=2), library.person("Bob", faces=1)
    faces = faces_of(ada) if wrong == "all" else [faces_of(ada)[0], *faces_of(bob)]
    with pytest.raises(people.PeopleError):
        people.split(person_id=ada.pk, face_ids=[face.pk for face in faces], by="me")
    assert KnownPerson.objects.count() == 2


@pytest.mark.parametrize("ids", [[], [4711]])
def test_no_such_face(library: Library, ids: list[int]) -> None:
    ada = library.person("Ada")
    for operation in (people.confirm, people.reject):
        with pytest.raises((people.PeopleError, people.UnknownError)):
            operation(face_ids=ids, by="me")
    with pytest.raises((people.PeopleError, people.UnknownError)):
        people.assign(face_ids=ids, person_id=ada.pk, by="me")
    assert not PeopleOperation.objects.exists()


def test_faces_that_wait_are_looked_at_again_beside_what_was_said(library: Library) -> None:
    ada = library.person("Ada", faces=1)
    face = faces_of(ada)[0]
    like, unlike = (library.face(standing="waiting", recognised_with="model") for _ in range(2))
    like.matches.create(matched_face=face, similarity=0.6, threshold=0.5, model="model", rule="core")

    people.confirm(face_ids=[face.pk], by="me")

    like.refresh_from_db()
    unlike.refresh_from_db()
    assert (like.recognised_with, unlike.recognised_with) == (None, "model")
