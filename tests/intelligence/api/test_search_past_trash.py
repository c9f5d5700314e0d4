"""Hundreds in the trash may be nearest to what is asked for: pages are full all the same, on any engine."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from tests.intelligence.likeness import put
from tests.intelligence.test_retrieval import FULL, make_faces, make_rows, spread, trashed_folder

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("each_engine", "media_root")]

PATHS = {
    "search": "/intelligence/search?entity={pk}&page_size=3",
    "both": "/intelligence/search?entity={pk}&page_size=3&space=both",
    "similar": "/intelligence/entities/{pk}/similar?limit=3&score_threshold=0.5",
    "by dino": "/intelligence/entities/{pk}/similar?limit=3&score_threshold=0.5&space=dino",
}


@pytest.mark.parametrize("is_marked", [True, False], ids=["marked", "not marked yet"])
@pytest.mark.parametrize("how", PATHS)
def test_a_page_of_images_is_full(guest: APIClient, how: str, *, is_marked: bool) -> None:
    [first, *shown] = make_rows(6)
    trash = make_rows(FULL, is_deleted=True) + make_rows(FULL, parent_id=trashed_folder())
    for space in ("clip", "dino"):
        put(space, spread(trash, 0.1, 10), hidden=is_marked)
        put(space, {first: 0, **spread(shown, 11, 20)})

    answer = guest.get(PATHS[how].format(pk=first.pk))

    assert answer.status_code == 200, answer.content
    assert [hit["entity_id"] for hit in answer.json()["results"]] == [each.pk for each in shown[:3]]


@pytest.mark.parametrize("is_marked", [True, False], ids=["marked", "not marked yet"])
def test_a_page_of_faces_is_full(guest: APIClient, *, is_marked: bool) -> None:
    [first, *shown] = make_faces(make_rows(6))
    owners = make_rows(FULL, is_deleted=True) + make_rows(FULL, parent_id=trashed_folder())
    put("face", spread(make_faces(owners), 0.1, 10), hidden=is_marked)
    put("face", {first: 0, **spread(shown, 11, 20)})

    answer = guest.get(f"/intelligence/faces/{first.pk}/similar", {"limit": 3})

    assert [hit["face_id"] for hit in answer.json()["results"]] == [each.pk for each in shown[:3]]
