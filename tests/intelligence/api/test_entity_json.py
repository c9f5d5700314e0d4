"""What an entity's JSON says of its intelligence, and what that costs."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from entities.models import Entity
from intelligence.vocabulary import IMAGE_TASKS, JobStatus, ProcessingStatus, TaskType
from tests.factories import jpeg, make_collection, make_face, make_intelligence, make_job, make_photo

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]


def test_nothing_is_known_of_a_new_image_and_of_a_collection(guest: APIClient) -> None:
    for entity in (make_photo(), make_collection()):
        answer = guest.get(f"/entities/{entity.pk}").json()
        assert answer["intelligence_status"] is answer["intelligence_data"] is None


def test_it_is_the_data_of_its_own_route_but_for_the_history(guest: APIClient) -> None:
    photo = make_photo()
    make_intelligence(photo, processing_status=ProcessingStatus.FAILED, face_count=3, error_message="no")
    make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.FAILED)
    make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.QUEUED)
    for status in (JobStatus.FAILED, JobStatus.COMPLETED, JobStatus.IN_PROGRESS):
        make_job(photo, TaskType.FACE_EMBEDDING, status, face=make_face(photo))

    answer = guest.get(f"/entities/{photo.pk}").json()

    full = guest.get(f"/intelligence/entities/{photo.pk}").json()
    assert len(full["job_history"]) == 3
    assert answer["intelligence_data"] == {**full, "job_history": []}
    assert answer["intelligence_status"] == full["overall_status"] == "failed"
    assert len(full["active_jobs"]) == 2
    assert full["inference_status"]["face_embeddings"] == ["failed", "completed", "processing"]


def test_an_image_that_is_through_says_so(guest: APIClient) -> None:
    photo = make_photo()
    make_intelligence(photo, face_count=2)
    for _ in range(2):
        make_job(photo, TaskType.FACE_EMBEDDING, JobStatus.COMPLETED, face=make_face(photo))

    data = guest.get(f"/entities/{photo.pk}").json()["intelligence_data"]

    assert data == {**guest.get(f"/intelligence/entities/{photo.pk}").json(), "job_history": []}
    assert data["inference_status"]["face_embeddings"] == ["completed"] * 2


def test_the_answer_to_a_write_carries_it_too(writer: APIClient) -> None:
    photo = make_photo()
    make_intelligence(photo)
    again = writer.post(
        "/entities", {"is_collection": "false", "media_file": SimpleUploadedFile("a.jpg", jpeg())}
    )
    assert again.status_code == 200
    assert again.json()["intelligence_status"] == "completed"


def test_the_number_of_queries_is_that_of_one_row(guest: APIClient) -> None:
    photos = [make_photo(seed) for seed in range(50)]
    for number, photo in enumerate(photos):
        _work_on(photo, is_through=number % 2 == 0)

    counts = []
    for size in (1, 10, 50):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            items = _list(guest, size)
        assert len(items) == size
        assert all(item["intelligence_data"]["face_count"] == 2 for item in items)
        counts.append(len(queries))

    assert len(set(counts)) == 1, counts


def test_the_jobs_of_images_that_are_through_are_not_even_read(guest: APIClient) -> None:
    photo = make_photo()
    make_intelligence(photo)
    for _ in range(30):
        make_job(photo, TaskType.FACE_EMBEDDING, JobStatus.COMPLETED, face=make_face(photo))
    with CaptureQueriesContext(connection) as queries:
        _list(guest, 1)
    of_jobs = [query["sql"] for query in queries if "intelligence_entityjob" in query["sql"]]
    assert len(of_jobs) == 1
    with connection.cursor() as cursor:
        cursor.execute(of_jobs[0])
        assert cursor.fetchall() == []


def _work_on(photo: Entity, *, is_through: bool) -> None:
    status = JobStatus.COMPLETED if is_through else JobStatus.QUEUED
    make_intelligence(photo, processing_status=_overall(is_through=is_through), status=status, face_count=2)
    for task in IMAGE_TASKS:
        make_job(photo, task, status)
    for _ in range(2):
        make_job(photo, TaskType.FACE_EMBEDDING, status, face=make_face(photo))


def _overall(*, is_through: bool) -> ProcessingStatus:
    return ProcessingStatus.COMPLETED if is_through else ProcessingStatus.PROCESSING


def _list(client: APIClient, size: int) -> list[dict[str, Any]]:
    answer = client.get("/entities", {"page_size": size})
    assert answer.status_code == 200
    items: list[dict[str, Any]] = answer.json()["items"]
    return items
