from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from entities.models import Entity
from intelligence.models import (
    Face,
    FaceMatch,
)
from tests.factories import make_collection, make_face, make_person, make_photo
from tests.intelligence.likeness import cosine, put

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]


def similar(client: APIClient, face: Face, **query: str | float) -> list[dict[str, object]]:
    answer = client.get(f"/intelligence/faces/{face.pk}/similar", query)
    assert answer.status_code == 200, answer.content
    body = answer.json()
    assert body["query_face_id"] == face.pk
    results: list[dict[str, object]] = body["results"]
    return results


def ids(results: list[dict[str, object]]) -> list[object]:
    return [hit["face_id"] for hit in results]


def match(face: Face, matched: Face, similarity: float) -> FaceMatch:
    return FaceMatch.objects.create(
        face=face, matched_face=matched, similarity=similarity, threshold=0.5, model="model", rule="nearest"
    )


def test_best_first_without_itself(guest: APIClient) -> None:
    photo = make_photo()
    first, second, third, far = (make_face(photo) for _ in range(4))
    Face.objects.filter(pk=second.pk).update(known_person=make_person(), assigned_by=Face.AssignedBy.AUTO)
    put("face", {third: 20, far: 50, first: 0, second: -10})

    results = similar(guest, first)

    assert ids(results) == [second.pk, third.pk]
    assert [hit["score"] for hit in results] == pytest.approx([cosine(10), cosine(20)], abs=1e-5)
    assert results[0]["known_person_id"] == Face.objects.get(pk=second.pk).known_person_id is not None
    faces = guest.get(f"/intelligence/entities/{photo.pk}/faces").json()
    assert [hit["face"] for hit in results] == faces[1:3]


def test_the_threshold_is_0_7_unless_another_is_given(guest: APIClient) -> None:
    photo = make_photo()
    first, near, far = (make_face(photo) for _ in range(3))
    put("face", {first: 0, near: 45.5, far: 45.7})
    assert cosine(45.5) > 0.7 > cosine(45.7)
    assert ids(similar(guest, first)) == [near.pk]
    assert ids(similar(guest, first, threshold=0.6)) == [near.pk, far.pk]
    assert ids(similar(guest, first, threshold=0.6, limit=1)) == [near.pk]


def test_as_many_as_asked_for(guest: APIClient) -> None:
    photo = make_photo()
    faces = [make_face(photo) for _ in range(8)]
    put("face", {face: number for number, face in enumerate(faces)})
    assert ids(similar(guest, faces[0])) == [face.pk for face in faces[1:6]]
    assert ids(similar(guest, faces[0], limit=50)) == [face.pk for face in faces[1:]]


def test_scores_stay_between_0_and_1(guest: APIClient) -> None:
    photo = make_photo()
    first, same, opposite = (make_face(photo) for _ in range(3))
    put("face", {first: 33, same: 33, opposite: 90 + 33.0001})
    scores = [hit["score"] for hit in similar(guest, first, threshold=0)]
    assert all(isinstance(score, float) and 0 <= score <= 1 for score in scores)
    assert scores[0] == pytest.approx(1)


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "51"}, {"threshold": "2"}, {"threshold": "nan"}])
def test_a_query_out_of_range(guest: APIClient, query: dict[str, str]) -> None:
    answer = guest.get(f"/intelligence/faces/{make_face(make_photo()).pk}/similar", query)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", next(iter(query))]


def test_nothing_similar(guest: APIClient) -> None:
    photo = make_photo()
    lonely, far, unseen = (make_face(photo) for _ in range(3))
    put("face", {lonely: 0, far: 90})
    for face in (lonely, unseen):
        answer = guest.get(f"/intelligence/faces/{face.pk}/similar")
        assert answer.status_code == 404
        assert "no similar" in answer.json()["detail"]


def test_faces_in_the_trash_are_not_shown(guest: APIClient) -> None:
    outer = make_collection()
    inner = make_collection(parent_id=outer.pk)
    first, kept = (make_face(make_photo(seed)) for seed in range(2))
    deleted = make_face(make_photo(2))
    in_folder = make_face(make_photo(3, parent_id=inner.pk))
    put("face", {first: 0, deleted: 1, in_folder: 2, kept: 3})
    for other in (deleted, in_folder, kept):
        match(first, other, 0.9)
    assert len(similar(guest, first)) == 3

    Entity.objects.filter(pk__in=[deleted.entity_id, outer.pk]).update(is_deleted=True)

    assert ids(similar(guest, first)) == [kept.pk]
    matches = guest.get(f"/intelligence/faces/{first.pk}/matches").json()
    assert [found["matched_face_id"] for found in matches] == [kept.pk]


def test_matches(guest: APIClient) -> None:
    photo = make_photo()
    face, weak, strong = (make_face(photo) for _ in range(3))
    assert guest.get(f"/intelligence/faces/{face.pk}/matches").json() == []
    match(face, weak, 0.6)
    found = match(face, strong, 1.0000001)
    match(weak, face, 0.6)

    matches = guest.get(f"/intelligence/faces/{face.pk}/matches").json()

    assert [each["matched_face_id"] for each in matches] == [strong.pk, weak.pk]
    faces = guest.get(f"/intelligence/entities/{photo.pk}/faces").json()
    assert matches[0] == {
        "id": found.pk,
        "face_id": face.pk,
        "matched_face_id": strong.pk,
        "similarity_score": 1.0,
        "threshold": 0.5,
        "model": "model",
        "rule": "nearest",
        "created_at": int(found.created_at.timestamp() * 1000),
        "matched_face": faces[2],
    }


def test_the_number_of_queries_does_not_grow_with_the_results(guest: APIClient) -> None:
    photo = make_photo()
    faces = [make_face(photo) for _ in range(8)]
    put("face", {face: number for number, face in enumerate(faces)})
    for other in faces[1:]:
        match(faces[0], other, 0.9)
        match(faces[1], other, 0.9) if other != faces[1] else None

    def queries(path: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert guest.get(f"/intelligence/{path}").status_code == 200
        return len(captured)

    few = queries(f"faces/{faces[0].pk}/similar?limit=1")
    assert queries(f"faces/{faces[0].pk}/similar?limit=7") == few
    before = queries(f"faces/{faces[0].pk}/matches")
    FaceMatch.objects.filter(face=faces[0]).exclude(matched_face=faces[2]).delete()
    assert queries(f"faces/{faces[0].pk}/matches") == before
