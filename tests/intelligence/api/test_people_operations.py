from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from intelligence import capabilities, people
from intelligence.capabilities import ModelFacts
from intelligence.models import Face, FaceMatch, KnownPerson
from tests.factories import make_face, make_person, make_photo

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]

PEOPLE, FACES = "/intelligence/known-persons", "/intelligence/faces"


@pytest.fixture
def ada() -> KnownPerson:
    return with_faces("Ada", 1)


@pytest.fixture
def bob() -> KnownPerson:
    return with_faces("Bob", 10)


def with_faces(name: str, seed: int) -> KnownPerson:
    person = make_person(name)
    for number in range(2):
        make_face(make_photo(seed + number), known_person=person, standing="core")
    return person


def face_ids(person: KnownPerson) -> list[int]:
    return list(Face.objects.filter(known_person=person).values_list("pk", flat=True))


def post(client: APIClient, path: str, body: object = None) -> Any:
    return client.post(path, body, format="json")


def done(answer: Any, kind: str) -> dict[str, Any]:
    assert answer.status_code == 200, answer.content
    told: dict[str, Any] = answer.json()
    assert (told["kind"], told["by"]) == (kind, "writer-1")
    return told


def test_a_merge_and_back(writer: APIClient, ada: KnownPerson, bob: KnownPerson) -> None:
    merged = done(post(writer, f"{PEOPLE}/merge", {"survivor_id": ada.pk, "other_ids": [bob.pk]}), "merge")
    assert merged["people"] == [ada.pk, bob.pk]
    assert writer.get(f"{PEOPLE}/{bob.pk}").status_code == 404

    undone = done(post(writer, f"{PEOPLE}/undo/{merged['id']}"), "undo")

    assert (undone["undoes"], undone["summary"]) == (merged["id"], f"Undid: {merged['summary']}")
    assert writer.get(f"{PEOPLE}/{bob.pk}").json()["face_count"] == 2
    again = post(writer, f"{PEOPLE}/undo/{merged['id']}")
    assert again.status_code == 409
    assert "undone already" in again.json()["detail"]
    newest, oldest = writer.get(f"{PEOPLE}/operations").json()
    assert (newest["id"], oldest["undone_in"]) == (undone["id"], undone["id"])


def test_a_split(writer: APIClient, ada: KnownPerson) -> None:
    first, second = face_ids(ada)
    told = done(post(writer, f"{PEOPLE}/{ada.pk}/split", {"face_ids": [second], "name": "Eve"}), "split")
    eve, before = told["people"]
    assert before == ada.pk
    assert writer.get(f"{PEOPLE}/{eve}").json()["name"] == "Eve"
    assert (face_ids(ada), Face.objects.get(pk=second).known_person_id) == ([first], eve)


def test_faces_are_confirmed_rejected_and_assigned(
    writer: APIClient, ada: KnownPerson, bob: KnownPerson
) -> None:
    first, second = face_ids(ada)
    done(post(writer, f"{FACES}/confirm", {"face_ids": [first]}), "confirm")
    done(post(writer, f"{FACES}/reject", {"face_ids": [second]}), "reject")
    assert writer.get(f"{FACES}/{second}/why").json()["ruled_out"][0]["person_id"] == ada.pk
    done(post(writer, f"{FACES}/assign", {"face_ids": [second], "person_id": bob.pk}), "assign")
    told = done(post(writer, f"{FACES}/assign", {"face_ids": [first], "name": "Eve"}), "assign")
    assert Face.objects.get(pk=first).known_person_id == told["people"][0]
    assert second in face_ids(bob)


def test_what_is_so_already_is_no_operation(writer: APIClient, ada: KnownPerson) -> None:
    body = {"face_ids": face_ids(ada)}
    assert post(writer, f"{FACES}/confirm", body).json()["id"] is not None
    assert post(writer, f"{FACES}/confirm", body).json()["id"] is None


def test_hiding_covering_and_telling_apart(writer: APIClient, ada: KnownPerson, bob: KnownPerson) -> None:
    done(post(writer, f"{PEOPLE}/{ada.pk}/hide", {"hidden": True}), "hide")
    done(post(writer, f"{PEOPLE}/{ada.pk}/cover", {"face_id": face_ids(ada)[1]}), "cover")
    done(post(writer, f"{PEOPLE}/{ada.pk}/distinguish", {"other_id": bob.pk}), "distinguish")
    told = writer.get(f"{PEOPLE}/{ada.pk}").json()
    assert (told["hidden"], told["cover_face_id"]) == (True, face_ids(ada)[1])
    of_bob = writer.get(f"{PEOPLE}/operations?person_id={bob.pk}").json()
    assert of_bob == []  # it was said of Ada; Bob and his faces are as they were


CALLS: dict[str, dict[str, Any]] = {
    f"{PEOPLE}/merge": {"survivor_id": 1, "other_ids": [2]},
    f"{PEOPLE}/1/split": {"face_ids": [1]},
    f"{PEOPLE}/1/distinguish": {"other_id": 2},
    f"{PEOPLE}/1/hide": {"hidden": True},
    f"{PEOPLE}/1/cover": {"face_id": 1},
    f"{PEOPLE}/undo/1": {},
    f"{FACES}/confirm": {"face_ids": [1]},
    f"{FACES}/reject": {"face_ids": [1]},
    f"{FACES}/assign": {"face_ids": [1]},
}


@pytest.mark.parametrize("path", CALLS)
def test_only_writers_decide(guest: APIClient, reader: APIClient, path: str) -> None:
    assert post(guest, path, CALLS[path]).status_code == 401
    assert post(reader, path, CALLS[path]).status_code == 403


@pytest.mark.parametrize("path", CALLS)
def test_what_is_not_there(writer: APIClient, path: str) -> None:
    unknown = path.replace("/1", "/4711")
    body = {name: [4711] if isinstance(value, list) else value for name, value in CALLS[path].items()}
    answer = post(writer, unknown, body)
    assert answer.status_code == 404, answer.content
    assert "not found" in answer.json()["detail"]


@pytest.mark.parametrize("path", [path for path, body in CALLS.items() if body])
@pytest.mark.parametrize("body", [{}, [], "x", {"face_ids": []}, {"face_ids": ["x"]}, {"face_ids": 7}])
def test_what_makes_no_sense(writer: APIClient, path: str, body: object) -> None:
    answer = post(writer, path, body)
    assert answer.status_code == 422, answer.content
    assert {fault["loc"][0] for fault in answer.json()["detail"]} == {"body"}


def test_what_is_refused_says_why(writer: APIClient, ada: KnownPerson, bob: KnownPerson) -> None:
    for path, body, words in (
        (f"{PEOPLE}/{ada.pk}/split", {"face_ids": face_ids(ada)}, "leave at least one"),
        (f"{PEOPLE}/{ada.pk}/cover", {"face_id": face_ids(bob)[0]}, "not one of"),
        (f"{PEOPLE}/merge", {"survivor_id": ada.pk, "other_ids": [ada.pk]}, "at least one other"),
        (f"{FACES}/assign", {"face_ids": face_ids(ada), "person_id": bob.pk, "name": "Eve"}, "leave"),
    ):
        answer = post(writer, path, body)
        assert (answer.status_code, words in str(answer.json()["detail"])) == (422, True), answer.content


def why(client: APIClient, face: Face) -> dict[str, Any]:
    answer = client.get(f"{FACES}/{face.pk}/why")
    assert answer.status_code == 200
    told: dict[str, Any] = answer.json()
    return told


def test_why_a_face_has_its_person(guest: APIClient, ada: KnownPerson) -> None:
    capabilities.tell({"model": ModelFacts(False, None, same_person_from=0.5)})  # noqa: FBT003
    face, other = Face.objects.filter(known_person=ada)
    Face.objects.filter(pk=face.pk).update(recognised_with="model", quality=0.2)
    FaceMatch.objects.create(
        face=face, matched_face=other, similarity=0.7, threshold=0.55, model="model", rule="core"
    )

    told = why(guest, face)

    assert told["rule"] == (
        f"1 faces of person {ada.pk} are like it, the closest by 0.70 where 0.55 was needed; "
        "it speaks for the person."
    )
    assert {name: told[name] for name in ("known_person_id", "assigned_by", "standing", "model")} == {
        "known_person_id": ada.pk,
        "assigned_by": "auto",
        "standing": "core",
        "model": "model",
    }
    assert (told["same_person_from"], told["quality"], told["needed"]) == (0.5, 0.2, pytest.approx(0.55))
    (neighbour,) = told["neighbours"]
    assert (neighbour["face_id"], neighbour["known_person_id"], neighbour["similarity"]) == (
        other.pk,
        ada.pk,
        0.7,
    )
    assert (told["confirmed"], told["ruled_out"]) == (None, [])


def test_why_names_who_has_confirmed(guest: APIClient, ada: KnownPerson) -> None:
    face = Face.objects.filter(known_person=ada)[0]
    people.confirm(face_ids=[face.pk], by="somebody")
    told = why(guest, face)
    assert told["rule"] == f"somebody said that this is person {ada.pk}."
    assert (told["confirmed"]["person_id"], told["confirmed"]["by"]) == (ada.pk, "somebody")


def test_a_model_that_recognises_nobody_says_so(guest: APIClient) -> None:
    capabilities.tell({"model": ModelFacts(False, None, same_person_from=None)})  # noqa: FBT003
    face = make_face(make_photo())
    Face.objects.filter(pk=face.pk).update(recognised_with=None)
    from tests.intelligence.likeness import put  # noqa: PLC0415

    put("face", {face: 0.0})
    assert "recognises nobody" in why(guest, face)["rule"]


def test_why_of_an_unknown_face(guest: APIClient) -> None:
    assert guest.get(f"{FACES}/4711/why").status_code == 404
