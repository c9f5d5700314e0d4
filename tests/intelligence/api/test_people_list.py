from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from intelligence import people
from intelligence.models import FaceMatch, KnownPerson
from tests.factories import make_collection, make_face, make_person, make_photo

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]

PEOPLE = "/intelligence/known-persons"


def ids(answer: Any) -> list[int]:
    assert answer.status_code == 200, answer.content
    return [each["id"] for each in answer.json()]


def make_people() -> dict[str, KnownPerson]:
    made = {}
    for seed, (name, faces) in enumerate({"Ada": 1, "Bob": 3, "": 1, " ": 2}.items()):
        made[name] = make_person(name.strip() or None)
        for number in range(faces):
            make_face(make_photo(10 * seed + number), known_person=made[name])
    return made


def test_older_clients_get_everybody(guest: APIClient) -> None:
    made = make_people()
    assert ids(guest.get(PEOPLE)) == [person.pk for person in made.values()]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("page=1", {"Ada", "Bob", " "}),
        ("page=1&min_faces=0", {"Ada", "Bob", "", " "}),
        ("min_faces=3", {"Ada", "Bob"}),
        ("named=true", {"Ada", "Bob"}),
        ("named=no", {"", " "}),
        ("search=AD", {"Ada"}),
        ("search=%25", set()),
    ],
)
def test_narrowing(guest: APIClient, query: str, found: set[str]) -> None:
    made = make_people()
    assert set(ids(guest.get(f"{PEOPLE}?{query}"))) == {made[name].pk for name in found}


def test_order(guest: APIClient) -> None:
    made = make_people()
    by_faces = ids(guest.get(f"{PEOPLE}?order=faces"))
    assert by_faces[:2] == [made["Bob"].pk, made[" "].pk]
    assert ids(guest.get(f"{PEOPLE}?order=name"))[:2] == [made["Ada"].pk, made["Bob"].pk]
    assert guest.get(f"{PEOPLE}?order=age").status_code == 422


def test_pages(guest: APIClient) -> None:
    made = [make_person(f"person {number}").pk for number in range(5)]
    answer = guest.get(f"{PEOPLE}?page=2&page_size=2&search=person")
    assert ids(answer) == made[2:4]
    assert answer["X-Total-Count"] == "5"
    links = answer["Link"]
    assert links.count("page_size=2&search=person") == 2
    assert 'page=3&page_size=2&search=person>; rel="next"' in links
    assert 'page=1&page_size=2&search=person>; rel="prev"' in links
    beyond = guest.get(f"{PEOPLE}?page=9&page_size=2")
    assert (ids(beyond), beyond["X-Total-Count"]) == ([], "5")


def test_the_trash_does_not_count(guest: APIClient) -> None:
    ada = make_person("Ada")
    collection = make_collection("Old")
    photos = [make_photo(1), make_photo(2), make_photo(3, parent_id=collection.pk)]
    faces = [make_face(photo, known_person=ada, quality=0.1 * n) for n, photo in enumerate(photos, 1)]

    def told() -> tuple[int, int | None, list[int]]:
        person = guest.get(f"{PEOPLE}/{ada.pk}").json()
        return person["face_count"], person["cover_face_id"], ids(guest.get(f"{PEOPLE}/{ada.pk}/faces"))

    assert told() == (3, faces[2].pk, [face.pk for face in faces])
    collection.is_deleted = True
    collection.save()
    assert told() == (2, faces[1].pk, [face.pk for face in faces[:2]])
    people.set_cover(person_id=ada.pk, face_id=faces[0].pk, by=None)
    assert told()[1] == faces[0].pk
    photos[0].is_deleted = True
    photos[0].save()
    assert told() == (1, faces[1].pk, [faces[1].pk])
    collection.is_deleted = photos[0].is_deleted = False
    collection.save()
    photos[0].save()
    assert told() == (3, faces[0].pk, [face.pk for face in faces])


def test_the_least_certain_face_comes_first(guest: APIClient) -> None:
    ada = make_person("Ada")
    faces = [make_face(make_photo(n), known_person=ada) for n in range(4)]
    for face, similarity in zip(faces, (0.9, 0.6, 0.8), strict=False):
        evidence(face, faces[3], similarity)
    people.confirm(face_ids=[faces[1].pk], by=None)
    found = ids(guest.get(f"{PEOPLE}/{ada.pk}/faces?order=doubt"))
    assert found == [faces[n].pk for n in (2, 0, 3, 1)]


def evidence(face: Any, matched: Any, similarity: float, rule: str = "core") -> None:
    FaceMatch.objects.create(
        face=face, matched_face=matched, similarity=similarity, threshold=0.5, model="model", rule=rule
    )


def test_faces_that_wait_the_closest_first(guest: APIClient) -> None:
    ada, bob = make_person("Ada"), make_person("Bob")
    core = {each: make_face(make_photo(n), known_person=each) for n, each in enumerate((ada, bob))}
    near, far, alone = (make_face(make_photo(10 + n), standing="waiting") for n in range(3))
    evidence(near, core[ada], 0.7)
    evidence(near, core[bob], 0.6)
    evidence(far, core[bob], 0.55)

    def told() -> list[tuple[int, int | None, float | None]]:
        answer = guest.get("/intelligence/faces/waiting")
        return [(each["id"], each["suggested_person_id"], each["similarity"]) for each in answer.json()]

    assert told() == [(near.pk, ada.pk, 0.7), (far.pk, bob.pk, 0.55), (alone.pk, None, None)]
    people.reject(face_ids=[near.pk], person_id=ada.pk, by=None)
    assert told()[0] == (near.pk, bob.pk, 0.6)


def test_suggestions(guest: APIClient) -> None:
    ada, bob, eve, kim = (make_person(name) for name in ("Ada", "Bob", "Eve", None))
    photos = [make_photo(n) for n in range(6)]
    of_ada = [make_face(photo, known_person=ada) for photo in photos[:2]]
    of_bob = [make_face(photo, known_person=bob) for photo in photos[2:4]]
    of_eve = make_face(photos[0], known_person=eve)  # beside Ada
    of_kim = make_face(photos[4], known_person=kim)
    evidence(of_ada[0], of_bob[0], 0.8, "another")
    evidence(of_bob[1], of_ada[1], 0.6, "another")
    evidence(of_eve, of_ada[1], 0.9, "another")
    evidence(of_kim, of_ada[1], 0.7, "another")

    def told() -> list[tuple[int, int, int]]:
        answer = guest.get(f"{PEOPLE}/suggested-merges")
        return [(each["person"]["id"], each["other"]["id"], each["faces"]) for each in answer.json()]

    assert told() == [(ada.pk, bob.pk, 2), (ada.pk, kim.pk, 1)]
    first = guest.get(f"{PEOPLE}/suggested-merges?limit=1").json()
    assert (len(first), first[0]["closest"], first[0]["mean"]) == (1, 0.8, pytest.approx(0.7))
    people.distinguish(person_id=bob.pk, other_id=ada.pk, by=None)
    people.set_hidden(person_id=kim.pk, hidden=True, by=None)
    assert told() == []


@pytest.mark.parametrize(
    "path",
    [
        f"{PEOPLE}?page=1&min_faces=0",
        f"{PEOPLE}/operations",
        f"{PEOPLE}/suggested-merges",
        "/intelligence/faces/waiting",
        f"{PEOPLE}/{{ada}}/faces?page=1&order=doubt",
    ],
)
def test_the_number_of_queries_is_that_of_one(guest: APIClient, path: str) -> None:
    ada, bob = make_person("Ada"), make_person("Bob")
    first = make_face(make_photo(0), known_person=ada)

    def add(number: int) -> None:
        photo = make_photo(number)
        evidence(make_face(photo, standing="waiting"), first, 0.6)
        evidence(make_face(photo, known_person=bob), first, 0.6, "another")
        evidence(make_face(make_photo(-number), known_person=ada), first, 0.6)
        make_face(make_photo(1000 + number), known_person=make_person())
        people.rename(person_id=ada.pk, name=f"Ada {number}", by=None)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert len(guest.get(path.format(ada=ada.pk)).json()) > 0
        return len(captured)

    add(1)
    few = queries()
    for number in range(2, 8):
        add(number)
    assert queries() == few
