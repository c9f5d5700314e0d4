"""Searching by an image of the store, narrowed by what the store knows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from entities.models import Entity
from intelligence import search as searching
from intelligence.api import search_serializers
from intelligence.facts import image_facts
from tests.factories import (
    make_collection,
    make_face,
    make_intelligence,
    make_person,
    make_photo,
    store,
)
from tests.intelligence.likeness import cosine, direction, put
from vectors import VectorPoint, get_clip_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]


def found(client: APIClient, **query: Any) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = page(client, **query)["results"]
    return results


def page(client: APIClient, **query: Any) -> dict[str, Any]:
    answer = client.get("/intelligence/search", query)
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


def ids(client: APIClient, **query: Any) -> list[int]:
    return [hit["entity_id"] for hit in found(client, **query)]


def photos(number: int, **fields: Any) -> list[Entity]:
    return [make_photo(seed, **fields) for seed in range(number)]


def keep_true() -> None:
    """As upkeep does."""
    for pk, facts in image_facts(list(Entity.objects.values_list("pk", flat=True))).items():
        get_clip_store().set_payload([pk], facts.payload())


def fan(*of: Entity) -> None:
    """One degree between each and the next, in both spaces' models; the first is what is asked for."""
    put("clip", {photo: number for number, photo in enumerate(of)})
    keep_true()


def test_best_first_without_itself(guest: APIClient) -> None:
    first, second, third = photos(3)
    put("clip", {third: 60, first: 0, second: -10})

    hits = found(guest, entity=first.pk)

    assert [hit["entity_id"] for hit in hits] == [second.pk, third.pk]
    assert [hit["score"] for hit in hits] == pytest.approx([cosine(10), cosine(60)], abs=1e-5)
    assert [(why["space"], why["model"], why["rank"]) for hit in hits for why in hit["why"]] == [
        ("clip", "model", 1),
        ("clip", "model", 2),
    ]
    assert hits[0]["why"][0]["cosine"] == hits[0]["score"]
    assert hits[0]["fused"] is None


def test_each_hit_comes_with_its_entity(guest: APIClient) -> None:
    first, second = photos(2)
    make_intelligence(second)
    fan(first, second)
    assert [hit["entity"] for hit in found(guest, entity=first.pk)] == [
        guest.get(f"/entities/{second.pk}").json()
    ]


def test_scores_stay_between_0_and_1(guest: APIClient) -> None:
    first, same, opposite = photos(3)
    put("clip", {first: 33, same: 33, opposite: 33 + 120})
    scores = [hit["score"] for hit in found(guest, entity=first.pk)]
    assert scores == [pytest.approx(1), 0]
    assert scores[0] <= 1


def test_only_what_is_like_it_enough(guest: APIClient) -> None:
    first, near, far = photos(3)
    put("clip", {first: 0, near: 10, far: 60})
    assert ids(guest, entity=first.pk, min_score=0.6) == [near.pk]


def test_below_a_collection(guest: APIClient) -> None:
    outer = make_collection("outer")
    inner = make_collection("inner", parent_id=outer.pk)
    first, loose = photos(2)
    direct, deep = make_photo(2, parent_id=outer.pk), make_photo(3, parent_id=inner.pk)
    fan(first, loose, direct, deep)
    assert ids(guest, entity=first.pk, parent_id=outer.pk) == [direct.pk, deep.pk]
    assert ids(guest, entity=first.pk, parent_id=inner.pk) == [deep.pk]
    assert ids(guest, entity=first.pk, parent_id=4711) == []


def test_by_the_date_it_was_taken(guest: APIClient) -> None:
    first, before, on, after, undated = photos(5)
    moment = datetime(1969, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
    for photo, days in ((before, -1), (on, 0), (after, 1)):
        Entity.objects.filter(pk=photo.pk).update(create_date=moment + timedelta(days=days))
    Entity.objects.filter(pk=undated.pk).update(create_date=None)
    fan(first, before, on, after, undated)
    milliseconds = guest.get(f"/entities/{on.pk}").json()["create_date"]

    assert ids(guest, entity=first.pk, date_from=milliseconds) == [on.pk, after.pk]
    assert ids(guest, entity=first.pk, date_to=milliseconds) == [before.pk, on.pk]
    assert ids(guest, entity=first.pk, date_from=milliseconds, date_to=milliseconds) == [on.pk]
    assert ids(guest, entity=first.pk, date_to=milliseconds - 1) == [before.pk]
    assert ids(guest, entity=first.pk, date_from=-(10**18), date_to=10**18) == [before.pk, on.pk, after.pk]


def test_by_what_it_is(guest: APIClient) -> None:
    first, photo, other = photos(3)
    Entity.objects.filter(pk=other.pk).update(mime_type="image/png")
    fan(first, photo, other)
    assert ids(guest, entity=first.pk, mime_type="image/png") == [other.pk]
    assert ids(guest, entity=first.pk, type="image") == [photo.pk, other.pk]
    assert ids(guest, entity=first.pk, type="video") == []


def test_by_the_people_on_it(guest: APIClient) -> None:
    first, ada_alone, together = photos(3)
    ada, grace = make_person("Ada"), make_person("Grace")
    for photo, person in ((ada_alone, ada), (together, ada), (together, grace)):
        make_face(photo, known_person=person)
    fan(first, ada_alone, together)
    assert ids(guest, entity=first.pk, person_id=ada.pk) == [ada_alone.pk, together.pk]
    assert ids(guest, entity=first.pk, person_id=[ada.pk, grace.pk]) == [together.pk]


def test_the_database_has_the_last_word(guest: APIClient) -> None:
    """Whatever is still kept beside the vectors: in the trash, moved, of another type, of other people."""
    folder, trash = make_collection("folder"), make_collection("trash", parent_id=None)
    first = make_photo(0)
    trashed, below, moved, kept = (make_photo(seed, parent_id=folder.pk) for seed in range(1, 5))
    ada = make_person("Ada")
    faces = [make_face(photo, known_person=ada) for photo in (moved, kept)]
    fan(first, trashed, below, moved, kept)
    Entity.objects.filter(pk=trashed.pk).update(is_deleted=True)
    Entity.objects.filter(pk=below.pk).update(parent=trash)
    Entity.objects.filter(pk=trash.pk).update(is_deleted=True)
    assert ids(guest, entity=first.pk) == [moved.pk, kept.pk]

    Entity.objects.filter(pk=moved.pk).update(parent=None, mime_type="image/png")
    assert ids(guest, entity=first.pk, parent_id=folder.pk) == [kept.pk]
    assert ids(guest, entity=first.pk, mime_type="image/jpeg") == [kept.pk]
    faces[0].delete()
    assert ids(guest, entity=first.pk, person_id=ada.pk) == [kept.pk]


def test_what_is_marked_as_hidden_is_not_even_looked_at(guest: APIClient) -> None:
    first, other = photos(2)
    fan(first, other)
    get_clip_store().set_payload([other.pk], {"hidden": True})
    assert ids(guest, entity=first.pk) == []


def test_pages(guest: APIClient) -> None:
    first, *others = photos(6)
    fan(first, *others)
    pages = [page(guest, entity=first.pk, page=number, page_size=2) for number in (1, 2, 3, 4)]
    shown = [[hit["entity_id"] for hit in each["results"]] for each in pages]
    expected = [photo.pk for photo in others]
    assert shown == [expected[:2], expected[2:4], expected[4:], []]
    assert [each["pagination"]["has_next"] for each in pages] == [True, True, False, False]
    assert [each["pagination"]["has_prev"] for each in pages] == [False, True, True, True]
    assert pages[1]["results"][0]["why"][0]["rank"] == 3


def test_the_last_page_that_can_be_asked_for_says_that_none_follows(
    guest: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (searching, search_serializers):
        monkeypatch.setattr(module, "LONGEST_LIST", 5)
    first, *others = photos(8)
    fan(first, *others)
    for size, last in ((2, 2), (5, 1)):
        pages = [page(guest, entity=first.pk, page=number, page_size=size) for number in range(1, last + 1)]
        assert all(len(each["results"]) == size for each in pages)
        assert [each["pagination"]["has_next"] for each in pages] == [True] * (last - 1) + [False]
        beyond = guest.get("/intelligence/search", {"entity": first.pk, "page": last + 1, "page_size": size})
        assert beyond.status_code == 422
        assert "narrow the search" in beyond.json()["detail"][0]["msg"]


class TestBothSpaces:
    """first: what is asked for; a leads in clip, b in dino, c is second in both."""

    def put(self) -> list[Entity]:
        first, a, b, c = photos(4)
        put("clip", {first: 0, a: 1, c: 2, b: 50})
        put("dino", {first: 0, b: 1, c: 2, a: 50})
        return [first, a, b, c]

    def test_ranked_by_reciprocal_ranks(self, guest: APIClient) -> None:
        first, a, b, c = self.put()
        hits = found(guest, entity=first.pk, space="both")
        # a and b: 1/61 + 1/63; c: 2/62, a little less.
        assert [hit["entity_id"] for hit in hits] == [a.pk, b.pk, c.pk]
        assert [hit["fused"] for hit in hits] == pytest.approx([1 / 61 + 1 / 63] * 2 + [2 / 62])
        assert hits[0]["score"] == pytest.approx(cosine(1), abs=1e-5)
        assert [why["cosine"] for why in hits[0]["why"]] == pytest.approx([cosine(1), cosine(50)], abs=1e-5)
        assert [why["rank"] for why in hits[0]["why"]] == [1, 3]

    def test_what_only_one_space_lists_is_compared_in_the_other(self, guest: APIClient) -> None:
        first, a, b, c = self.put()
        hits = found(guest, entity=first.pk, space="both", min_score=0.9)
        assert [hit["entity_id"] for hit in hits] == [c.pk, a.pk, b.pk]
        assert [why["rank"] for why in hits[1]["why"]] == [1, None]
        assert hits[1]["why"][1]["cosine"] == pytest.approx(cosine(50), abs=1e-5)

    def test_one_space_does_where_the_other_has_nothing(self, guest: APIClient) -> None:
        first, other = photos(2)
        put("dino", {first: 0, other: 1})
        assert [why["space"] for why in found(guest, entity=first.pk, space="both")[0]["why"]] == ["dino"]


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ({}, "text"),
        ({"entity": "many"}, "entity"),
        ({"entity": "-1"}, "entity"),
        ({"entity": str(2**63)}, "entity"),
        ({"entity": "1", "space": "face"}, "space"),
        ({"entity": "1", "page": "0"}, "page"),
        ({"entity": "1", "page": "11", "page_size": "100"}, "page"),
        ({"entity": "1", "page_size": "101"}, "page_size"),
        ({"entity": "1", "min_score": "nan"}, "min_score"),
        ({"entity": "1", "date_from": "yesterday"}, "date_from"),
        ({"entity": "1", "type": "photo"}, "type"),
        ({"entity": "1", "parent_id": str(2**63)}, "parent_id"),
        ({"entity": "1", "person_id": list(range(11))}, "person_id"),
        ({"entity": "1", "person_id": ["1", "Ada"]}, "person_id"),
    ],
)
def test_a_query_that_cannot_be_asked(guest: APIClient, query: dict[str, Any], where: str) -> None:
    answer = guest.get("/intelligence/search", query)
    assert answer.status_code == 422
    assert [fault["loc"] for fault in answer.json()["detail"]] == [["query", where]]


def test_nobody_to_compare_with(guest: APIClient) -> None:
    unseen, text = make_photo(1), store(b"some words").entity
    for pk, reason in ((4711, "not found"), (unseen.pk, "no clip embedding"), (text.pk, "no clip embedding")):
        answer = guest.get("/intelligence/search", {"entity": pk})
        assert answer.status_code == 404
        assert reason in answer.json()["detail"]


def test_the_number_of_queries_does_not_grow_with_the_hits(guest: APIClient) -> None:
    folder = make_collection()
    of = photos(12, parent_id=folder.pk)
    for photo in of:
        make_intelligence(photo)
    fan(*of)

    def queries(size: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert len(found(guest, entity=of[0].pk, page_size=size)) == size
        return len(captured)

    assert queries(1) == queries(11) < 12


def test_stale_copies_do_not_use_up_the_places(guest: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "SPARE_HITS", 1)
    first, *others = photos(8)
    fan(first, *others)
    Entity.objects.filter(pk__in=[photo.pk for photo in others[:4]]).update(is_deleted=True)
    assert ids(guest, entity=first.pk, page_size=2) == [photo.pk for photo in others[4:6]]


def test_a_vector_of_another_model_is_not_compared(guest: APIClient) -> None:
    first, other = photos(2)
    fan(first)
    odd = direction(0, dimension=512)
    get_clip_store().upsert([VectorPoint(other.pk, odd)], model="another")
    assert ids(guest, entity=first.pk) == []
