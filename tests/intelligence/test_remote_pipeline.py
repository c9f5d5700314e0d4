"""From photo to vectors with a compute service that is asked until it answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from intelligence import hints
from intelligence.models import EntityJob, Face
from intelligence.vocabulary import IMAGE_TASKS, JobStatus, ProcessingStatus, TaskType
from tests.contracts import faults
from tests.contracts.compute_service import npy
from tests.contracts.faults import says
from tests.factories import make_photo
from tests.intelligence.pipeline import job_of, row_of
from tests.intelligence.remote_pipeline import RemotePipeline, come_of_age
from vectors import get_clip_store, get_dino_store, get_face_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.allow_hosts(["127.0.0.1"])]


def test_from_photo_to_vectors_without_any_event(remotely: RemotePipeline) -> None:
    photo = make_photo(1)
    remotely.go_round()  # its three tasks
    assert row_of(photo.pk).processing_status == ProcessingStatus.PROCESSING
    remotely.go_round()  # its faces

    row = row_of(photo.pk)
    assert (row.processing_status, row.face_count) == (ProcessingStatus.COMPLETED, 2)
    assert set(get_clip_store().fetch([photo.pk])) == set(get_dino_store().fetch([photo.pk])) == {photo.pk}
    faces = set(Face.objects.values_list("pk", flat=True))
    assert set(get_face_store().fetch(faces)) == faces
    assert set(EntityJob.objects.values_list("backend", "attempts")) == {("remote", 0)}
    assert set(EntityJob.objects.values_list("model", flat=True)) == {
        *("remote-faces", "remote-clip-512", "remote-dino-384", "remote-face-512")
    }
    assert remotely.service.jobs == {}


def test_ended_jobs_stay_on_the_service_if_so_configured(remotely: RemotePipeline) -> None:
    kept = replace(remotely.processing.callbacks, delete_ended=False)
    poller = replace(remotely.processing.poller, finish_jobs=kept.finish_jobs)
    remotely.processing = replace(remotely.processing, callbacks=kept, poller=poller)
    photo = make_photo(1)
    remotely.go_round()
    remotely.go_round()
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED
    assert len(remotely.service.jobs) == EntityJob.objects.count()


def test_a_failure_that_no_event_told_of(remotely: RemotePipeline) -> None:
    """It may pass, so that it is tried again; but not for ever."""
    photo = make_photo(1)
    for attempt in range(3):
        come_of_age()
        remotely.hand_in()
        for job in remotely.service.jobs.values():
            job.fields.update(status="error", error_message="CUDA out of memory at /srv/models")
        assert job_of(photo.pk, TaskType.CLIP_EMBEDDING).attempts == attempt
        remotely.poll()
        remotely.follow_hints()

    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "clip_embedding: CUDA out of memory at models" in row.error_message
    assert remotely.service.jobs == {}


def test_an_image_that_cannot_be_decoded_is_not_tried_again(remotely: RemotePipeline) -> None:
    photo = make_photo(1)
    remotely.hand_in()
    for job in remotely.service.jobs.values():
        job.files[job.fields["params"]["input_path"]] = b"junk"
    remotely.go_round()

    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "Failed to load image: image.jpg" in row.error_message
    assert len(remotely.service.requests("POST", "/jobs/")) == len(IMAGE_TASKS)


def test_a_service_that_forgot_its_jobs(remotely: RemotePipeline) -> None:
    photo = make_photo(1)
    remotely.hand_in()
    remotely.service.restart()
    for _ in range(3):
        remotely.go_round()
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED
    assert job_of(photo.pk, TaskType.CLIP_EMBEDDING).attempts == 1


def test_a_service_that_forgets_again_and_again(remotely: RemotePipeline) -> None:
    photo = make_photo(1)
    for _ in range(3):
        come_of_age()
        remotely.hand_in()
        remotely.service.restart()
        remotely.poll()
        remotely.follow_hints()
    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "does not know the job" in row.error_message


def test_a_job_that_never_ends(remotely: RemotePipeline) -> None:
    photo = make_photo(1)
    for _ in range(3):
        come_of_age()
        remotely.hand_in()
        for job in remotely.service.jobs.values():
            job.fields["status"] = "processing"
        remotely.poll()
        remotely.follow_hints()
        assert row_of(photo.pk).clip_status == JobStatus.IN_PROGRESS
        EntityJob.objects.update(started_at=timezone.now() - timedelta(minutes=16))
        remotely.poll()
        remotely.follow_hints()
        assert remotely.service.jobs == {}  # whatever it still does, it does not do it for us

    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "at it for more than 0:15:00" in row.error_message


def test_a_job_that_takes_its_time_is_left_in_peace(remotely: RemotePipeline) -> None:
    photo = make_photo(1)
    remotely.hand_in()
    for job in remotely.service.jobs.values():
        job.fields["status"] = "in_progress"
    for _ in range(3):
        remotely.poll()
        remotely.follow_hints()
        come_of_age()
        remotely.processing.sweeper.sweep_jobs()
    assert set(EntityJob.objects.values_list("status", "attempts")) == {(JobStatus.IN_PROGRESS, 0)}
    assert len(remotely.service.jobs) == len(IMAGE_TASKS)
    assert row_of(photo.pk).processing_status == ProcessingStatus.PROCESSING


def test_a_service_that_is_away_costs_nothing_but_time(remotely: RemotePipeline) -> None:
    photo = make_photo(1)
    remotely.service.misbehave("POST", "/jobs/", says(503), times=10_000)
    for _ in range(5):
        remotely.go_round()
    assert remotely.service.jobs == {}
    assert set(EntityJob.objects.values_list("status", "attempts")) == {(JobStatus.PENDING, 0)}
    assert "does not answer now" in job_of(photo.pk, TaskType.CLIP_EMBEDDING).error_message

    remotely.service._faults.clear()
    remotely.go_round()
    remotely.service.misbehave("GET", "/jobs/", says(503), times=10_000)
    for _ in range(5):
        remotely.go_round()
    remotely.service._faults.clear()
    remotely.go_round()

    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED
    assert set(EntityJob.objects.values_list("attempts", flat=True)) == {0}


def test_a_service_with_other_models_than_configured(remotely: RemotePipeline) -> None:
    photo = make_photo(1)
    remotely.hand_in()
    remotely.service.work()
    for job in remotely.service.jobs.values():
        if job.fields["task_type"] == TaskType.CLIP_EMBEDDING:
            job.files["output/clip_embedding.npy"] = npy(np.ones(768, np.float32))
    remotely.poll()
    remotely.follow_hints()

    clip = job_of(photo.pk, TaskType.CLIP_EMBEDDING)
    assert (clip.status, clip.attempts) == (JobStatus.FAILED, 0)
    assert "expected 512 numbers <f4, got (768,)" in clip.error_message
    assert get_clip_store().count() == 0


def test_a_result_that_never_arrives_whole(remotely: RemotePipeline) -> None:
    photo = make_photo(1)
    remotely.service.misbehave("GET", "/files/", faults.cut_short, times=10_000)
    for _ in range(3):
        remotely.go_round()
    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "clip_embedding: The compute service broke off" in row.error_message


def test_the_same_job_handed_in_twice(remotely: RemotePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload took longer than its lease, and another worker was faster: one job is kept, one deleted."""
    photo = make_photo(1)
    jobs, submit = remotely.processing.jobs, remotely.client.submit

    def slow(*arguments: Any) -> str:
        monkeypatch.setattr(remotely.client, "submit", submit)
        come_of_age()
        jobs.dispatch()  # by the other worker
        return submit(*arguments)

    monkeypatch.setattr(remotely.client, "submit", slow)
    remotely.hand_in()
    assert len(remotely.service.jobs) == len(IMAGE_TASKS) + 1

    remotely.follow_hints()
    assert set(remotely.service.jobs) == set(EntityJob.objects.values_list("job_id", flat=True))
    assert row_of(photo.pk).clip_job_id in remotely.service.jobs


def test_nothing_is_uploaded_under_a_lease_that_went_to_another(remotely: RemotePipeline) -> None:
    make_photo(1)
    remotely.processing.processor.reconcile()
    (claimed,) = remotely.processing.jobs._claim()[0].values()
    come_of_age()
    remotely.processing.jobs.dispatch()
    remotely.processing.jobs.submit(claimed)
    assert len(remotely.service.requests("POST", "/jobs/")) == len(IMAGE_TASKS)


def test_a_service_that_gives_one_id_to_all(remotely: RemotePipeline) -> None:
    make_photo(1)
    answer = says(200, {"job_id": "the-one", "status": "queued"})
    remotely.service.misbehave("POST", "/jobs/", answer, times=len(IMAGE_TASKS))
    remotely.hand_in()
    assert sorted(EntityJob.objects.values_list("job_id", "attempts"), key=str) == [
        ("the-one", 0),
        (None, 1),
        (None, 1),
    ]


def test_late_news_of_a_job_that_was_handed_in_again(remotely: RemotePipeline) -> None:
    photo = make_photo(1)
    remotely.hand_in()
    stale = job_of(photo.pk, TaskType.CLIP_EMBEDDING)
    remotely.processing.jobs.put_off(stale, "lost")
    come_of_age()
    remotely.hand_in()
    now = job_of(photo.pk, TaskType.CLIP_EMBEDDING)
    assert now.job_id not in (None, stale.job_id)

    remotely.processing.jobs.put_off(stale, "lost, says another")
    remotely.processing.jobs.put_off(stale, "failed, says a third", permanent=True)

    assert job_of(photo.pk, TaskType.CLIP_EMBEDDING).job_id == now.job_id


def test_a_job_of_a_removed_photo_is_deleted_on_the_service(remotely: RemotePipeline) -> None:
    make_photo(1)
    remotely.hand_in()
    (job_id, *_others) = remotely.service.jobs
    EntityJob.objects.all().delete()
    hints.finish_jobs([job_id])  # its event
    remotely.follow_hints()
    assert job_id not in remotely.service.jobs
