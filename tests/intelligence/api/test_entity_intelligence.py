"""An image's intelligence, faces and jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from rest_framework.test import APIClient

from entities.models import Entity
from intelligence import retrieval, rows
from intelligence.vocabulary import IMAGE_TASKS, JobStatus, ProcessingStatus, TaskType
from tests.factories import (
    LANDMARKS,
    make_collection,
    make_face,
    make_intelligence,
    make_job,
    make_person,
    make_photo,
)
from tests.intelligence.pipeline import Pipeline

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]

JOB_KEYS = {
    *("job_id", "task_type", "started_at", "status", "progress", "completed_at", "error_message"),
    *("id", "image_id", "created_at", "updated_at"),
}


def intelligence(client: APIClient, entity: Entity) -> dict[str, object]:
    answer = client.get(f"/intelligence/entities/{entity.pk}")
    assert answer.status_code == 200
    found: dict[str, object] = answer.json()
    return found


def test_nothing_is_known_at_first(guest: APIClient) -> None:
    for entity in (make_photo(), make_collection()):
        assert guest.get(f"/intelligence/entities/{entity.pk}").json() is None
        assert guest.get(f"/intelligence/entities/{entity.pk}/jobs").json() == []
        assert guest.get(f"/intelligence/entities/{entity.pk}/faces").json() == []


@pytest.mark.parametrize("suffix", ["", "/faces", "/jobs", "/similar", "/clip_embedding", "/dino_embedding"])
def test_an_unknown_entity(guest: APIClient, suffix: str) -> None:
    for unknown in (4711, -1, 2**64):
        answer = guest.get(f"/intelligence/entities/{unknown}{suffix}")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Entity not found"})
    assert guest.get(f"/intelligence/entities/abc{suffix}").status_code == 422


def test_both_spellings_answer(guest: APIClient) -> None:
    photo = make_photo()
    for path in ("", "/faces", "/jobs"):
        assert guest.get(f"/intelligence/entities/{photo.pk}{path}/").status_code == 200


def test_an_image_that_is_through(guest: APIClient) -> None:
    photo = make_photo()
    row = make_intelligence(photo, face_count=1)
    face = make_face(photo)
    for task in IMAGE_TASKS:
        make_job(photo, task, JobStatus.COMPLETED)
    make_job(photo, TaskType.FACE_EMBEDDING, JobStatus.COMPLETED, face=face)

    data = intelligence(guest, photo)

    history = data.pop("job_history")
    assert isinstance(history, list)
    assert [job["task_type"] for job in history] == [*IMAGE_TASKS, TaskType.FACE_EMBEDDING]
    assert all(set(job) >= JOB_KEYS and job["progress"] == 100 for job in history)
    assert data == {
        "overall_status": "completed",
        "last_processed_md5": photo.md5,
        "last_processed_version": row.version,
        "face_count": 1,
        "active_processing_md5": photo.md5,
        "active_jobs": [],
        "inference_status": {
            "face_detection": "completed",
            "clip_embedding": "completed",
            "dino_embedding": "completed",
            "hls_streaming": "pending",
            "face_embeddings": ["completed"],
        },
        "last_updated": int(row.updated_at.timestamp() * 1000),
        "error_message": None,
    }


def test_an_image_that_is_looked_at(guest: APIClient) -> None:
    photo = make_photo()
    row = make_intelligence(
        photo, processing_status=ProcessingStatus.PROCESSING, clip_status=JobStatus.QUEUED, face_count=3
    )
    make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.QUEUED)
    for status in (JobStatus.FAILED, JobStatus.IN_PROGRESS, JobStatus.COMPLETED):
        make_job(photo, TaskType.FACE_EMBEDDING, status, face=make_face(photo))

    data = intelligence(guest, photo)

    assert data["overall_status"] == "processing"
    assert (data["last_processed_md5"], data["active_processing_md5"]) == (None, row.md5)
    active, history = data["active_jobs"], data["job_history"]
    assert isinstance(active, list)
    assert isinstance(history, list)
    assert [job["status"] for job in active] == ["queued", "in_progress"]
    assert [job["status"] for job in history] == ["failed", "completed"]
    assert data["inference_status"] == {
        "face_detection": "completed",
        "clip_embedding": "processing",
        "dino_embedding": "completed",
        "hls_streaming": "pending",
        "face_embeddings": ["failed", "processing", "completed"],
    }


@pytest.mark.parametrize("processing_status", ProcessingStatus)
@pytest.mark.parametrize("status", JobStatus)
def test_every_state_is_told_in_words_that_clients_know(
    guest: APIClient, processing_status: ProcessingStatus, status: JobStatus
) -> None:
    photo = make_photo()
    make_intelligence(photo, processing_status=processing_status, status=status, face_count=None)
    make_job(photo, TaskType.FACE_EMBEDDING, status, face=make_face(photo))

    data = intelligence(guest, photo)

    assert data["overall_status"] in {"queued", "processing", "completed", "failed"}
    told = data["inference_status"]
    assert isinstance(told, dict)
    faces = told.pop("face_embeddings") or []
    assert {*told.values(), *faces} <= {"pending", "processing", "completed", "failed"}
    assert isinstance(data["last_updated"], int)


def test_what_is_known_of_older_content_is_no_result(guest: APIClient) -> None:
    photo = make_photo()
    make_intelligence(photo, md5="0" * 32)
    assert intelligence(guest, photo)["overall_status"] == "queued"


def test_failures_give_their_reasons(guest: APIClient) -> None:
    photo = make_photo()
    make_intelligence(photo, processing_status=ProcessingStatus.FAILED, error_message="clip: out of memory")
    data = intelligence(guest, photo)
    assert (data["overall_status"], data["error_message"]) == ("failed", "clip: out of memory")


def test_jobs_under_way_come_first(guest: APIClient) -> None:
    photo = make_photo()
    failed = make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.FAILED, error_message="no such model")
    live = make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.PENDING)
    done = make_job(photo, TaskType.DINO_EMBEDDING, JobStatus.COMPLETED, job_id="dino-1")
    make_job(make_photo(2), TaskType.CLIP_EMBEDDING, JobStatus.PENDING)

    jobs = guest.get(f"/intelligence/entities/{photo.pk}/jobs").json()

    assert [job["id"] for job in jobs] == [live.pk, failed.pk, done.pk]
    assert jobs[1]["error_message"] == "no such model"
    assert jobs[2]["job_id"] == "dino-1"
    assert all(isinstance(job["started_at"], int) and isinstance(job["job_id"], str) for job in jobs)
    assert [job["completed_at"] is None for job in jobs] == [True, False, False]


def test_a_long_history_loses_its_oldest_jobs(guest: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "JOBS_LIMIT", 3)
    photo = make_photo()
    make_intelligence(photo)
    live = make_job(photo, TaskType.CLIP_EMBEDDING, JobStatus.QUEUED)
    ended = [make_job(photo, TaskType.DINO_EMBEDDING, JobStatus.COMPLETED).pk for _ in range(5)]

    jobs = guest.get(f"/intelligence/entities/{photo.pk}/jobs").json()

    assert [job["id"] for job in jobs] == [live.pk, *ended[-2:]]
    history = intelligence(guest, photo)["job_history"]
    assert isinstance(history, list)
    assert [job["id"] for job in history] == ended[-2:]


def test_faces(guest: APIClient) -> None:
    photo = make_photo()
    known = make_face(photo, known_person=make_person("Ada"))
    unknown = make_face(photo)

    faces = guest.get(f"/intelligence/entities/{photo.pk}/faces").json()

    assert [face["id"] for face in faces] == [known.pk, unknown.pk]
    assert [face["known_person_id"] for face in faces] == [known.known_person_id, None]
    assert faces[0] == {
        "id": known.pk,
        "entity_id": photo.pk,
        "image_id": photo.pk,
        "known_person_id": known.known_person_id,
        "bbox": {"x1": 0.1, "y1": 0.2, "x2": 0.3, "y2": 0.4},
        "confidence": 0.9,
        "quality": 0.8,
        "landmarks": {name: [0.2, 0.3] for name in LANDMARKS},
        "file_path": known.file_path,
        "model": "detector",
        "created_at": int(known.created_at.timestamp() * 1000),
    }


@pytest.mark.django_db(transaction=True)
def test_an_image_is_through_although_nobody_asked_for_a_stream(guest: APIClient, pipeline: Pipeline) -> None:
    photo = make_photo()
    pipeline.work()
    data = intelligence(guest, photo)
    assert (data["overall_status"], data["face_count"]) == ("completed", 2)
    assert data["last_processed_md5"] == photo.md5


@pytest.mark.django_db(transaction=True)
def test_looking_again_replaces_the_faces(guest: APIClient, pipeline: Pipeline, media_root: Path) -> None:
    photo = make_photo()
    pipeline.work()
    before = guest.get(f"/intelligence/entities/{photo.pk}/faces").json()
    rows.make_pending([photo.pk], TaskType.FACE_DETECTION)

    pipeline.work()

    after = guest.get(f"/intelligence/entities/{photo.pk}/faces").json()
    assert len(before) == len(after) == 2
    assert not {face["id"] for face in before} & {face["id"] for face in after}
    assert intelligence(guest, photo)["face_count"] == 2
    assert all((media_root / face["file_path"]).is_file() for face in after)
    assert not any((media_root / face["file_path"]).exists() for face in before)
