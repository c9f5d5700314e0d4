"""Removing a face, and its crop as a picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from rest_framework.test import APIClient

from intelligence import rows
from intelligence.models import (
    EntityJob,
    Face,
    FaceMatch,
)
from intelligence.vocabulary import IMAGE_TASKS, JobStatus, ProcessingStatus, TaskType
from tests.factories import make_face, make_intelligence, make_job, make_person, make_photo
from tests.intelligence.likeness import put
from vectors import QdrantVectorStore, VectorsUnavailableError, get_face_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]


def test_a_face_goes_with_all_that_was_its_own(writer: APIClient, media_root: Path) -> None:
    photo = make_photo()
    make_intelligence(photo, face_count=2)
    person = make_person("Ada")
    face, other = (make_face(photo, known_person=person) for _ in range(2))
    person.cover_face = face
    person.save()
    put("face", {face: 0, other: 1})
    make_job(photo, TaskType.FACE_EMBEDDING, JobStatus.COMPLETED, face=face)
    for one, two in ((face, other), (other, face)):
        FaceMatch.objects.create(face=one, matched_face=two, similarity=0.9, threshold=0.7, rule="x")

    answer = writer.delete(f"/faces/{face.pk}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert list(Face.objects.all()) == [other]
    assert list(get_face_store().fetch([face.pk, other.pk])) == [other.pk]
    assert not (media_root / face.file_path).exists()
    assert (media_root / other.file_path).exists()
    assert not FaceMatch.objects.exists()
    assert not EntityJob.objects.exists()
    data = writer.get(f"/intelligence/entities/{photo.pk}").json()
    assert (data["face_count"], data["inference_status"]["face_embeddings"]) == (1, ["completed"])
    told = writer.get(f"/intelligence/known-persons/{person.pk}").json()
    assert (told["face_count"], told["cover_face_id"]) == (1, other.pk)  # the best of the rest

    again = writer.delete(f"/faces/{face.pk}")
    assert (again.status_code, again.json()) == (404, {"detail": "Face not found"})


def test_the_last_face_of_a_person_leaves_the_person(writer: APIClient) -> None:
    person = make_person("Ada")
    face = make_face(make_photo(), known_person=person)
    assert writer.delete(f"/faces/{face.pk}/").status_code == 204
    assert writer.get(f"/intelligence/known-persons/{person.pk}").json()["face_count"] == 0


def test_the_count_does_not_fall_below_0(writer: APIClient) -> None:
    for count in (0, None):
        photo = make_photo(hash(count))
        row = make_intelligence(photo, face_count=count)
        assert writer.delete(f"/faces/{make_face(photo).pk}").status_code == 204
        row.refresh_from_db()
        assert row.face_count == count


def test_an_unknown_face(writer: APIClient) -> None:
    for unknown in (4711, -1, 2**64):
        answer = writer.delete(f"/faces/{unknown}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Face not found"})
    assert writer.delete("/faces/x").status_code == 422


def test_only_writers_may(guest: APIClient, reader: APIClient) -> None:
    face = make_face(make_photo())
    for path in (f"/faces/{face.pk}", "/faces/4711"):
        assert guest.delete(path).status_code == 401
        assert reader.delete(path).status_code == 403
    assert Face.objects.get() == face


def test_the_path_without_prefix_is_for_removing_only(writer: APIClient) -> None:
    face = make_face(make_photo())
    answer = writer.get(f"/faces/{face.pk}")
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})


def test_an_image_that_waited_for_this_face_only_is_through(writer: APIClient) -> None:
    photo = make_photo()
    row = make_intelligence(photo, processing_status=ProcessingStatus.PROCESSING, face_count=1)
    for task in IMAGE_TASKS:
        make_job(photo, task, JobStatus.COMPLETED)
    face = make_face(photo)
    make_job(photo, TaskType.FACE_EMBEDDING, JobStatus.QUEUED, face=face)

    assert writer.delete(f"/faces/{face.pk}").status_code == 204

    row.refresh_from_db()
    assert (row.processing_status, row.face_count) == (ProcessingStatus.COMPLETED, 0)


def test_nothing_changes_while_the_vectors_are_away(
    writer: APIClient, monkeypatch: pytest.MonkeyPatch, media_root: Path
) -> None:
    photo = make_photo()
    row = make_intelligence(photo, face_count=1)
    face = make_face(photo)

    def away(*_arguments: object) -> None:
        raise VectorsUnavailableError("The vectors are away.")

    monkeypatch.setattr(QdrantVectorStore, "delete", away)
    assert writer.delete(f"/faces/{face.pk}").status_code == 503
    row.refresh_from_db()
    assert row.face_count == 1
    assert Face.objects.get() == face
    assert (media_root / face.file_path).exists()


def test_a_face_that_a_detection_has_just_replaced(
    writer: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = make_photo()
    row = make_intelligence(photo, face_count=1)
    face = make_face(photo)
    lock = rows.lock_entities

    def wait_for_detection(entity_ids: Iterable[int]) -> set[int]:
        face.delete()
        return lock(entity_ids)

    monkeypatch.setattr(rows, "lock_entities", wait_for_detection)
    assert writer.delete(f"/faces/{face.pk}").status_code == 404
    row.refresh_from_db()
    assert row.face_count == 1


# --- Crops ---


def test_a_crop_is_a_picture(guest: APIClient, media_root: Path) -> None:
    face = make_face(make_photo())
    answer = guest.get(f"/intelligence/faces/{face.pk}/crop")
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    assert answer.getvalue() == (media_root / face.file_path).read_bytes()
    assert answer["X-Content-Type-Options"] == "nosniff"
    cached = guest.get(f"/intelligence/faces/{face.pk}/crop", headers={"if-none-match": answer["ETag"]})
    assert cached.status_code == 304


@pytest.mark.parametrize("file_path", ["", "faces/none.png", "../secret.png", "/etc/passwd"])
def test_a_crop_that_is_not_there(guest: APIClient, media_root: Path, file_path: str) -> None:
    (media_root.parent / "secret.png").write_bytes(b"secret")
    face = make_face(make_photo())
    Face.objects.update(file_path=file_path)
    answer = guest.get(f"/intelligence/faces/{face.pk}/crop")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Face crop not found"})
