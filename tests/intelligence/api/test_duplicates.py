"""Groups of near-duplicates: kept as vectors come and go, the best copy first."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from entities.models import Entity
from intelligence import capabilities, duplicates, marks, near_duplicates, visibility
from intelligence.capabilities import ModelFacts
from intelligence.models import DuplicateCandidate, DuplicatePair, UpkeepMark
from intelligence.near_duplicates import DuplicateKeeper
from intelligence.upkeep import Upkeep
from tests.factories import jpeg, make_collection, make_photo, store
from tests.intelligence.likeness import cosine, put
from tests.intelligence.pipeline import Pipeline
from vectors import get_clip_store, get_dino_store, get_face_store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]

LIMIT = cosine(20)
"""In these tests, two images of which the vectors are 20 degrees apart are just copies."""


@pytest.fixture(autouse=True)
def _measured() -> None:
    capabilities.tell({"model": ModelFacts(understands_text=False, near_duplicates_from=LIMIT)})


def follow() -> None:
    dino = get_dino_store()
    upkeep = Upkeep(get_clip_store(), dino, get_face_store(), DuplicateKeeper(dino))
    while upkeep.follow_marks():
        pass
    assert not UpkeepMark.objects.exists()


def arrive(photo: Entity, degrees: float) -> None:
    put("dino", {photo: degrees}, md5=photo.md5, entity_id=photo.pk)
    marks.note([photo.pk])


def shown(client: APIClient, **query: Any) -> list[list[int]]:
    answer = client.get("/intelligence/duplicates", query)
    assert answer.status_code == 200, answer.content
    groups: list[Any] = answer.json()["groups"]
    assert all(group["id"] == min(item["entity_id"] for item in group["items"]) for group in groups)
    return [sorted(item["entity_id"] for item in group["items"]) for group in groups]


def change(photo: Entity, **fields: Any) -> None:
    Entity.objects.filter(pk=photo.pk).update(**fields)
    marks.note([photo.pk])
    follow()


def photos(*degrees: float) -> list[Entity]:
    made = [make_photo(seed) for seed in range(len(degrees))]
    for photo, angle in zip(made, degrees, strict=True):
        arrive(photo, angle)
    follow()
    return made


def ids(*of: Entity) -> list[int]:
    return [photo.pk for photo in of]


def test_what_hangs_together_is_one_group(guest: APIClient) -> None:
    a, b, c, _, e, f = photos(0, 19, 38, 90, 150, 151)
    assert shown(guest) == [ids(a, b, c), ids(e, f)]


def test_a_group_does_not_depend_on_the_order_of_arrival(guest: APIClient) -> None:
    made = [make_photo(seed) for seed in range(8)]
    angles = dict(zip(made, (0, 19, 38, 57, 100, 119, 138, 170), strict=True))
    for seed in range(5):
        DuplicateCandidate.objects.all().delete()
        DuplicatePair.objects.all().delete()
        get_dino_store().delete(photo.pk for photo in made)
        for photo in random.Random(seed).sample(made, len(made)):
            arrive(photo, angles[photo])
            follow()
        assert shown(guest) == [ids(*made[:4]), ids(*made[4:7])]


def test_the_best_copy_comes_first(guest: APIClient) -> None:
    small, large, heavy, newer = photos(0, 1, 2, 3)
    for photo, width, size in ((small, 10, 99), (large, 30, 10), (heavy, 20, 20), (newer, 20, 20)):
        Entity.objects.filter(pk=photo.pk).update(width=width, height=10, file_size=size)
    [group] = guest.get("/intelligence/duplicates").json()["groups"]
    assert [item["entity_id"] for item in group["items"]] == ids(large, heavy, newer, small)
    assert group["items"][0]["entity"] == guest.get(f"/entities/{large.pk}").json()
    assert [item["score"] for item in group["items"]] == pytest.approx([cosine(1)] * 4, abs=1e-5)


def test_without_its_middle_a_chain_falls_apart(guest: APIClient) -> None:
    a, b, c, d = photos(0, 19, 38, 39)
    change(b, is_deleted=True)
    assert shown(guest) == [ids(c, d)]
    assert not DuplicateCandidate.objects.filter(pk__in=ids(a, b), group__isnull=False).exists()

    change(b, is_deleted=False)
    assert shown(guest) == [ids(a, b, c, d)]


def test_without_its_first_a_group_has_another_name(guest: APIClient) -> None:
    a, b, c = photos(0, 1, 2)
    change(a, is_deleted=True)
    assert shown(guest) == [ids(b, c)]


def test_what_is_in_the_trash_is_not_shown_even_before_it_is_followed(guest: APIClient) -> None:
    folder = make_collection()
    a, b, _ = photos(0, 1, 2)
    Entity.objects.filter(pk=b.pk).update(parent=folder)
    Entity.objects.filter(pk=folder.pk).update(is_deleted=True)
    assert b.pk not in shown(guest)[0]
    Entity.objects.filter(pk=a.pk).update(is_deleted=True)
    assert shown(guest) == []


def test_what_is_removed_for_good_leaves_nothing(guest: APIClient) -> None:
    a, b, c = photos(0, 19, 38)
    gone = b.pk
    b.delete()
    get_dino_store().delete([gone])
    marks.note([gone])
    follow()
    assert shown(guest) == []
    assert not DuplicatePair.objects.exists()
    assert set(DuplicateCandidate.objects.values_list("pk", flat=True)) == set(ids(a, c))


def test_other_content_is_compared_anew(guest: APIClient) -> None:
    _, b, c = photos(0, 1, 90)
    Entity.objects.filter(pk=b.pk).update(md5="f" * 32)
    marks.note([b.pk])
    follow()
    assert shown(guest) == []

    b.refresh_from_db()
    arrive(b, 91)
    follow()
    assert shown(guest) == [ids(b, c)]


def test_vectors_of_content_that_is_to_go_make_no_pair(guest: APIClient) -> None:
    a, b = make_photo(1), make_photo(2)
    put("dino", {b: 0}, md5="of before")
    arrive(a, 1)
    follow()
    assert not DuplicatePair.objects.exists()


def test_a_new_model_starts_anew(guest: APIClient) -> None:
    a, b, _ = photos(0, 1, 90)
    dino = get_dino_store()
    for photo, degrees in ((a, 0), (b, 90)):
        point = dino.fetch_points([photo.pk])[photo.pk]
        put("dino", {photo: degrees})
        dino.upsert([type(point)(photo.pk, dino.fetch([photo.pk])[photo.pk], point.payload)], model="next")
    dino.switch("next")
    assert shown(guest) == []
    capabilities.tell({"next": ModelFacts(understands_text=False, near_duplicates_from=LIMIT)})
    marks.note(ids(a, b))
    follow()
    assert shown(guest) == []
    assert not DuplicatePair.objects.exists()


def test_the_threshold_is_that_of_the_model_whatever_is_switched_to_meanwhile(
    guest: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the page is read, too: what is told belongs together."""
    facts = {
        name: ModelFacts(understands_text=False, near_duplicates_from=score)
        for name, score in (("model", LIMIT), ("next", 0.99))
    }
    capabilities.tell(facts)
    a, b, _ = photos(0, 1, 90)
    dino = get_dino_store()
    vectors = dino.fetch_points(ids(a, b))
    dino.upsert(vectors.values(), model="next")
    shown_entities = visibility.shown_entities

    def switching(of: Collection[int]) -> set[int]:
        dino.switch("next")
        return shown_entities(of)

    monkeypatch.setattr(visibility, "shown_entities", switching)
    for model, groups in (("model", 1), ("next", 0)):
        body = guest.get("/intelligence/duplicates").json()
        assert (body["model"], len(body["groups"])) == (model, groups)
        assert body["threshold"] == facts[model].near_duplicates_from

    marks.note(ids(a, b))
    follow()
    assert shown(guest) == [ids(a, b)]
    assert set(DuplicateCandidate.objects.filter(pk__in=ids(a, b)).values_list("model", flat=True)) == {
        "next"
    }


def test_for_a_model_that_nobody_measured_nothing_is_looked_for(guest: APIClient) -> None:
    capabilities.tell({"model": ModelFacts(understands_text=False, near_duplicates_from=None)})
    photos(0, 1)
    body = guest.get("/intelligence/duplicates").json()
    assert (body["groups"], body["threshold"], body["model"]) == ([], None, "model")


def test_a_higher_score_splits_groups(guest: APIClient) -> None:
    a, b, c, d = photos(0, 1, 18, 19)
    assert shown(guest) == [ids(a, b, c, d)]
    assert shown(guest, min_score=cosine(5)) == [ids(a, b), ids(c, d)]
    assert shown(guest, min_score=1) == []


def test_a_lower_score_was_never_kept(guest: APIClient) -> None:
    photos(0, 1)
    answer = guest.get("/intelligence/duplicates", {"min_score": LIMIT - 0.01})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "min_score"]


def test_pages(guest: APIClient) -> None:
    a, b, c, d, e, f = photos(0, 1, 60, 61, 120, 121)
    assert shown(guest, page_size=2) == [ids(a, b), ids(c, d)]
    assert shown(guest, page_size=2, page=2) == [ids(e, f)]
    pagination = guest.get("/intelligence/duplicates", {"page_size": 2, "page": 2}).json()["pagination"]
    assert (pagination["total_items"], pagination["total_pages"], pagination["has_next"]) == (3, 2, False)


def test_of_a_large_group_not_all_are_told(guest: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MOST_MEMBERS", 3)
    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 2)
    photos(*range(6))
    [group] = guest.get("/intelligence/duplicates").json()["groups"]
    assert group["count"] == 6
    assert len(group["items"]) == 3


def test_the_number_of_queries_does_not_grow(guest: APIClient) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            shown(guest)
        return len(captured)

    made = [make_photo(seed) for seed in range(8)]
    for photo, degrees in zip(made[:2], (0, 1), strict=True):
        arrive(photo, degrees)
    follow()
    few = queries()
    for photo, degrees in zip(made[2:], (2, 60, 61, 62, 120, 121), strict=True):
        arrive(photo, degrees)
    follow()
    assert queries() == few < 15


def test_through_the_whole_pipeline(guest: APIClient, pipeline: Pipeline) -> None:
    """The same pixels in other bytes; a sweep finds what was there before."""
    a, b = (store(jpeg(1) + tail).entity for tail in (b"", b"\0"))
    make_photo(2)
    pipeline.processing.encoder.tell_capabilities()
    pipeline.work()
    while pipeline.processing.upkeep.follow_marks():
        pass
    assert shown(guest) == [ids(a, b)]

    DuplicateCandidate.objects.all().delete()
    DuplicatePair.objects.all().delete()
    pipeline.processing.upkeep.sweep()
    assert shown(guest) == [ids(a, b)]
