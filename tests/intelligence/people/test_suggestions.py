from __future__ import annotations

from itertools import count

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from entities.models import Entity
from intelligence import people
from intelligence.models import Face, FaceMatch, KnownPerson
from intelligence.people import suggestions
from tests.intelligence.people.conftest import Library

pytestmark = pytest.mark.django_db

FEW, MANY = 3, 600
"""Pairs; the many are more people than SQLite is asked for by name in one query of Django's own."""

_photos = count(1)


def make_pairs(number: int) -> list[tuple[int, int]]:
    """Of people with one face each, on photos of their own; the first are the most alike."""
    persons = KnownPerson.objects.bulk_create(KnownPerson() for _ in range(2 * number))
    photos = Entity.objects.bulk_create(
        Entity(
            is_collection=False,
            type="image",
            md5=f"{photo:032}",
            file_path=f"{photo}.jpg",
            added_date=timezone.now(),
            updated_date=timezone.now(),
        )
        for photo, _ in zip(_photos, persons, strict=False)
    )
    faces = Face.objects.bulk_create(
        Face(
            entity=photo,
            bbox={},
            landmarks={},
            confidence=0.9,
            quality=0.5,
            known_person=person,
            assigned_by="auto",
        )
        for photo, person in zip(photos, persons, strict=True)
    )
    FaceMatch.objects.bulk_create(
        FaceMatch(
            face=one,
            matched_face=other,
            similarity=0.9 - 0.0001 * place,
            threshold=0.5,
            model="model",
            rule="another",
        )
        for place, (one, other) in enumerate(zip(faces[::2], faces[1::2], strict=True))
    )
    return [(one.pk, other.pk) for one, other in zip(persons[::2], persons[1::2], strict=True)]


def suggested(limit: int = 50) -> list[tuple[int, int]]:
    return [(each.person.pk, each.other.pk) for each in suggestions.suggested_merges(limit)]


def test_the_number_of_queries_is_that_of_few() -> None:
    pairs = make_pairs(FEW)
    with CaptureQueriesContext(connection) as few:
        assert suggested(MANY) == pairs
    pairs += make_pairs(MANY)
    with CaptureQueriesContext(connection) as many:
        assert len(suggested(len(pairs))) == len(pairs)
    assert len(many) == len(few)


@pytest.mark.parametrize(
    "path",
    [
        "/intelligence/known-persons/suggested-merges?limit=200",
        "/admin/intelligence/knownperson/suggestions/",
    ],
)
def test_so_it_is_on_pages(path: str, admin_client: Client) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            assert admin_client.get(path).status_code == 200
        return len(asked)

    make_pairs(FEW)
    few = queries()
    make_pairs(MANY)
    assert queries() == few


def test_who_was_put_off_is_read_at_once_too(admin_client: Client) -> None:
    """Pairs that were put off come before those that are shown."""
    pairs = make_pairs(MANY)

    def queries(put_off: int) -> int:
        session = admin_client.session
        session["people_later"] = [list(pair) for pair in pairs[:put_off]]
        session.save()
        with CaptureQueriesContext(connection) as asked:
            answer = admin_client.get("/admin/intelligence/knownperson/suggestions/")
        first = answer.context["pairs"][0]["suggestion"]
        assert (first.person.pk, first.other.pk) == pairs[put_off]
        return len(asked)

    assert queries(500) == queries(0)


def test_those_who_are_not_one_leave_their_places_to_others() -> None:
    told_apart, third, fourth = make_pairs(3)
    people.distinguish(person_id=told_apart[0], other_id=told_apart[1], by=None)
    assert suggested(2) == [third, fourth]
    Face.objects.filter(known_person=third[1]).update(entity=Face.objects.get(known_person=third[0]).entity)
    assert suggested(1) == [fourth]


def test_hidden_people_take_no_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suggestions, "PAIRS", 1)
    *hidden, shown = make_pairs(3)
    assert suggested() == hidden
    for one, _ in hidden:
        people.set_hidden(person_id=one, hidden=True, by=None)
    assert suggested() == [shown]


def test_both_ways_count_as_one(library: Library) -> None:
    ada, bob = library.person("Ada", faces=2), library.person("Bob", faces=2)
    ((of_ada, also_of_ada), (of_bob, also_of_bob)) = library.faces[:2], library.faces[2:]
    for face, other, similarity in (
        (of_ada, of_bob, 0.5),
        (of_ada, also_of_bob, 0.6),
        (also_of_bob, also_of_ada, 0.9),
    ):
        FaceMatch.objects.create(
            face=face, matched_face=other, similarity=similarity, threshold=0.5, model="model", rule="another"
        )
    (found,) = suggestions.suggested_merges()
    assert (found.person, found.other, found.faces, found.closest) == (ada, bob, 3, 0.9)
    assert found.mean == pytest.approx((0.5 + 0.6 + 0.9) / 3)
