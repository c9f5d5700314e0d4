from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from entities.models import Entity
from tests.factories import make_collection, make_intelligence, make_photo
from tests.intelligence.likeness import cosine, put

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]


def similar(client: APIClient, photo: Entity, **query: str | float) -> list[dict[str, object]]:
    answer = client.get(f"/intelligence/entities/{photo.pk}/similar", query)
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert body["query_image_id"] == body["query_entity_id"] == photo.pk
    assert all(hit["image_id"] == hit["entity_id"] for hit in body["results"])
    results: list[dict[str, object]] = body["results"]
    return results


def ids(results: list[dict[str, object]]) -> list[object]:
    return [hit["entity_id"] for hit in results]


def trash(entity: Entity) -> None:
    Entity.objects.filter(pk=entity.pk).update(is_deleted=True)


def test_best_first_without_itself(guest: APIClient) -> None:
    first, second, third, far = (make_photo(seed) for seed in range(4))
    put("clip", {third: 20, far: 80, first: 0, second: -10})

    results = similar(guest, first)

    assert ids(results) == [second.pk, third.pk]
    assert [hit["score"] for hit in results] == pytest.approx([cosine(10), cosine(20)], abs=1e-5)
    assert [hit["entity"] for hit in results] == [None, None]


def test_scores_stay_between_0_and_1(guest: APIClient) -> None:
    first, same, opposite = (make_photo(seed) for seed in range(3))
    put("clip", {first: 33, same: 33, opposite: 90 + 33.0001})
    scores = [hit["score"] for hit in similar(guest, first, score_threshold=0)]
    assert all(isinstance(score, float) and 0 <= score <= 1 for score in scores)
    assert scores[0] == pytest.approx(1)


@pytest.mark.parametrize(("space", "threshold"), [("clip", 0.85), ("dino", 0.7)])
def test_each_space_has_its_vectors_and_its_threshold(guest: APIClient, space: str, threshold: float) -> None:
    first, near, far = (make_photo(seed) for seed in range(3))
    angle = {"clip": 31.7, "dino": 45.5}[space]
    assert cosine(angle) > threshold > cosine(angle + 0.2)
    put(space, {first: 0, near: angle, far: angle + 0.2})

    assert ids(similar(guest, first, space=space)) == [near.pk]
    assert ids(similar(guest, first, space=space, score_threshold=threshold - 0.05)) == [near.pk, far.pk]
    other = guest.get(
        f"/intelligence/entities/{first.pk}/similar", {"space": "dino" if space == "clip" else "clip"}
    )
    assert other.status_code == 404


def test_as_many_as_asked_for(guest: APIClient) -> None:
    photos = [make_photo(seed) for seed in range(8)]
    put("clip", {photo: number for number, photo in enumerate(photos)})
    assert len(similar(guest, photos[0])) == 5
    assert ids(similar(guest, photos[0], limit=2)) == [photos[1].pk, photos[2].pk]
    assert len(similar(guest, photos[0], limit=50)) == 7


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "51"},
        {"limit": "many"},
        {"score_threshold": "1.1"},
        {"score_threshold": "-0.1"},
        {"score_threshold": "nan"},
        {"score_threshold": "inf"},
        {"include_details": "perhaps"},
        {"space": "face"},
    ],
)
def test_a_query_out_of_range(guest: APIClient, query: dict[str, str]) -> None:
    answer = guest.get(f"/intelligence/entities/{make_photo().pk}/similar", query)
    assert answer.status_code == 422
    assert [fault["loc"] for fault in answer.json()["detail"]] == [["query", next(iter(query))]]


def test_nothing_similar(guest: APIClient) -> None:
    lonely, far, unseen = (make_photo(seed) for seed in range(3))
    put("clip", {lonely: 0, far: 90})
    for photo in (lonely, unseen):
        answer = guest.get(f"/intelligence/entities/{photo.pk}/similar")
        assert answer.status_code == 404
        assert "no similar" in answer.json()["detail"]


def test_the_trash_is_not_shown(guest: APIClient) -> None:
    outer = make_collection()
    inner = make_collection(parent_id=outer.pk)
    first, kept, deleted = (make_photo(seed) for seed in range(3))
    in_folder, in_inner = (make_photo(seed, parent_id=inner.pk) for seed in (3, 4))
    put("clip", {first: 0, deleted: 1, in_folder: 2, in_inner: 3, kept: 4})
    assert len(similar(guest, first)) == 4

    trash(deleted)
    assert ids(similar(guest, first)) == [in_folder.pk, in_inner.pk, kept.pk]
    trash(outer)
    assert ids(similar(guest, first)) == [kept.pk]
    assert ids(similar(guest, deleted)) == [first.pk, kept.pk]


def test_vectors_without_an_entity_are_not_shown(guest: APIClient) -> None:
    first, gone, kept = (make_photo(seed) for seed in range(3))
    put("clip", {first: 0, gone: 1, kept: 2})
    Entity.objects.filter(pk=gone.pk).delete()
    assert ids(similar(guest, first)) == [kept.pk]


def test_details_are_those_of_the_entities(guest: APIClient) -> None:
    first, second = make_photo(1), make_photo(2, label="the other")
    make_intelligence(second)
    put("clip", {first: 0, second: 1})

    [hit] = similar(guest, first, include_details="true")

    assert hit["entity"] == guest.get(f"/entities/{second.pk}").json()
    assert isinstance(hit["entity"], dict)
    assert hit["entity"]["intelligence_status"] == "completed"


def test_the_number_of_queries_does_not_grow_with_the_results(guest: APIClient) -> None:
    folder = make_collection()
    photos = [make_photo(seed, parent_id=folder.pk) for seed in range(12)]
    for photo in photos:
        make_intelligence(photo)
    put("clip", {photo: number for number, photo in enumerate(photos)})

    def queries(limit: int) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert len(similar(guest, photos[0], limit=limit, include_details="true")) == limit
        return len(captured)

    assert queries(1) == queries(11)
