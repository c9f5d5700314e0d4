from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from intelligence.models import (
    KnownPerson,
)
from tests.factories import make_face, make_person, make_photo

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]


def test_none_at_first(guest: APIClient) -> None:
    assert guest.get("/intelligence/known-persons").json() == []


def test_people_with_their_numbers_of_faces(guest: APIClient) -> None:
    photo = make_photo()
    ada, nobody = make_person("Ada"), make_person()
    faces = [make_face(photo, known_person=ada) for _ in range(2)]
    make_face(photo)
    ada.cover_face = faces[1]
    ada.save()

    people = guest.get("/intelligence/known-persons/").json()

    assert [(each["id"], each["name"], each["face_count"]) for each in people] == [
        (ada.pk, "Ada", 2),
        (nobody.pk, None, 0),
    ]
    assert people[0] == {
        "id": ada.pk,
        "name": "Ada",
        "hidden": False,
        "cover_face_id": faces[1].pk,
        "created_at": int(ada.created_at.timestamp() * 1000),
        "updated_at": int(ada.updated_at.timestamp() * 1000),
        "face_count": 2,
    }
    assert guest.get(f"/intelligence/known-persons/{ada.pk}").json() == people[0]
    told = guest.get(f"/intelligence/known-persons/{ada.pk}/faces").json()
    assert told == guest.get(f"/intelligence/entities/{photo.pk}/faces").json()[:2]
    assert guest.get(f"/intelligence/known-persons/{nobody.pk}/faces").json() == []


def test_hidden_people_are_listed_on_demand(guest: APIClient) -> None:
    shown, hidden = make_person("Ada"), make_person("Bob", hidden=True)

    def listed(query: str) -> list[int]:
        return [each["id"] for each in guest.get(f"/intelligence/known-persons{query}").json()]

    assert listed("") == listed("?include_hidden=no") == [shown.pk]
    assert listed("?include_hidden=true") == [shown.pk, hidden.pk]
    assert guest.get(f"/intelligence/known-persons/{hidden.pk}").json()["hidden"] is True
    assert guest.get("/intelligence/known-persons?include_hidden=perhaps").status_code == 422


@pytest.mark.parametrize("suffix", ["", "/faces"])
def test_an_unknown_person(guest: APIClient, suffix: str) -> None:
    for unknown in (4711, -1, 2**64):
        answer = guest.get(f"/intelligence/known-persons/{unknown}{suffix}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Known person not found"})
    assert guest.get(f"/intelligence/known-persons/x{suffix}").status_code == 422


def test_a_name_is_given_and_history_says_by_whom(writer: APIClient) -> None:
    person = make_person()
    make_face(make_photo(), known_person=person)

    for name in ("Ada", "Ada Lovelace", "Ada Lovelace"):
        answer = writer.patch(f"/intelligence/known-persons/{person.pk}", {"name": name}, format="json")
        assert answer.status_code == 200
        assert answer.json() == writer.get(f"/intelligence/known-persons/{person.pk}").json()
        assert (answer.json()["name"], answer.json()["face_count"]) == (name, 1)

    versions = person.history.order_by("history_id").values_list("name", "history_user_id")
    assert list(versions) == [(None, None), ("Ada", "writer-1"), ("Ada Lovelace", "writer-1")]
    updated = KnownPerson.objects.get(pk=person.pk)
    assert updated.updated_at > person.updated_at
    assert (updated.created_at, updated.hidden) == (person.created_at, False)


def test_a_name_of_255_characters_fits(writer: APIClient) -> None:
    person = make_person()
    answer = writer.patch(f"/intelligence/known-persons/{person.pk}/", {"name": "ä" * 255}, format="json")
    assert answer.json()["name"] == "ä" * 255


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"name": ""}, {"name": "  "}, {"name": None}, {"name": "x" * 256}, {"name": "nul\0"}),
        *({"name": 7}, {"name": True}, {"name": ["Ada"]}, ["Ada"], "Ada", 7, None),
    ],
)
def test_what_is_no_name(writer: APIClient, body: object) -> None:
    person = make_person("Ada")
    answer = writer.patch(
        f"/intelligence/known-persons/{person.pk}", json.dumps(body), content_type="application/json"
    )
    assert answer.status_code == 422
    assert {tuple(fault["loc"]) for fault in answer.json()["detail"]} == {("body", "name")}
    person.refresh_from_db()
    assert person.name == "Ada"


@pytest.mark.parametrize("kind", ["multipart", "urlencoded"])
def test_a_form_is_refused(writer: APIClient, kind: str) -> None:
    person = make_person("Ada")
    path = f"/intelligence/known-persons/{person.pk}"
    if kind == "multipart":
        answer = writer.patch(path, {"name": "Bob"}, format="multipart")
    else:
        answer = writer.patch(path, "name=Bob", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 422
    person.refresh_from_db()
    assert person.name == "Ada"


def test_naming_an_unknown_person(writer: APIClient) -> None:
    answer = writer.patch("/intelligence/known-persons/4711", {"name": "Ada"}, format="json")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Known person not found"})


def test_only_writers_name_people(guest: APIClient, reader: APIClient) -> None:
    person = make_person("Ada")
    for path in (f"/intelligence/known-persons/{person.pk}", "/intelligence/known-persons/4711"):
        assert guest.patch(path, {"name": ""}, format="json").status_code == 401
        assert reader.patch(path, {"name": "Bob"}, format="json").status_code == 403
    person.refresh_from_db()
    assert person.name == "Ada"


def test_people_are_not_made_or_removed_by_requests(writer: APIClient) -> None:
    person = make_person("Ada")
    assert writer.post("/intelligence/known-persons", {"name": "Bob"}, format="json").status_code == 405
    assert writer.delete(f"/intelligence/known-persons/{person.pk}").status_code == 405


def test_the_number_of_queries_is_that_of_one_person(guest: APIClient) -> None:
    photo = make_photo()

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert guest.get("/intelligence/known-persons").status_code == 200
        return len(captured)

    make_face(photo, known_person=make_person())
    few = queries()
    for _ in range(20):
        make_face(photo, known_person=make_person())
    assert queries() == few
