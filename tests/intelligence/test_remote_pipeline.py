"""From photo to vectors with a compute service that is asked until it answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from entities.storage import EntityStorageService
from intelligence import hints, polling
from intelligence.compute import remote
from intelligence.compute.remote import RemoteComputeClient
from intelligence.models import EntityJob, Face
from intelligence.processing import IntelligenceProcessingService
from intelligence.vocabulary import IMAGE_TASKS, JobStatus, ProcessingStatus, TaskType
from tests.contracts import compute_service
from tests.contracts.compute_service import ComputeService, npy, says
from tests.factories import make_photo
from tests.intelligence.pipeline import job_of, row_of
from vectors import get_clip_store, get_dino_store, get_face_store

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.allow_hosts(["127.0.0.1"])]


@dataclass
class RemotePipeline:
    """Hints are kept until the test lets them be worked on, or loses them."""

    service: ComputeService
    client: RemoteComputeClient
    processing: IntelligenceProcessingService
    hints: list[tuple[str, tuple[Any, ...]]]

    def hand_in(self) -> None:
        self.processing.processor.reconcile()
        self.processing.jobs.dispatch()

    def poll(self) -> int:
        """When the time of every job has come."""
        come_of_age()
        return self.processing.poller.poll()

    def follow_hints(self) -> None:
        while self.hints:
            match self.hints.pop(0):
                case "finish_jobs", (job_ids,):
                    self.processing.callbacks.finish_jobs(job_ids)
                case "forget_job", (job_id,):
                    self.client.cancel(job_id)

    def go_round(self) -> None:
        """Once through all that is periodic."""
        come_of_age()
        self.processing.sweeper.sweep_jobs()
        self.hand_in()
        self.service.work()
        self.poll()
        self.follow_hints()


def come_of_age() -> None:
    EntityJob.objects.update(updated_at=timezone.now() - timedelta(hours=1), not_before=None)


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemotePipeline]:
    monkeypatch.setattr(remote, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(remote, "AWAY_SECONDS", 0.0)
    kept: list[tuple[str, tuple[Any, ...]]] = []
    monkeypatch.setattr(hints, "send", lambda task, *arguments, **_options: kept.append((task, arguments)))
    with compute_service.serving(wants_login=True) as service:
        client = RemoteComputeClient.create(service.settings(tmp_path), lambda _ids: None)
        processing = IntelligenceProcessingService.of(client, EntityStorageService.from_settings())
        yield RemotePipeline(service, client, processing, kept)
        client.close()


def test_from_photo_to_vectors_without_any_event(pipeline: RemotePipeline) -> None:
    photo = make_photo(1)
    pipeline.go_round()  # its three tasks
    assert row_of(photo.pk).processing_status == ProcessingStatus.PROCESSING
    pipeline.go_round()  # its faces

    row = row_of(photo.pk)
    assert (row.processing_status, row.face_count) == (ProcessingStatus.COMPLETED, 2)
    assert set(get_clip_store().fetch([photo.pk])) == set(get_dino_store().fetch([photo.pk])) == {photo.pk}
    faces = set(Face.objects.values_list("pk", flat=True))
    assert set(get_face_store().fetch(faces)) == faces
    assert set(EntityJob.objects.values_list("backend", "attempts")) == {("remote", 0)}
    assert set(EntityJob.objects.values_list("model", flat=True)) == {
        *("remote-faces", "remote-clip-512", "remote-dino-384", "remote-face-512")
    }
    assert pipeline.service.jobs == {}


def test_ended_jobs_stay_on_the_service_if_so_configured(pipeline: RemotePipeline) -> None:
    kept = replace(pipeline.processing.callbacks, delete_ended=False)
    pipeline.processing = replace(pipeline.processing, callbacks=kept)
    photo = make_photo(1)
    pipeline.go_round()
    pipeline.go_round()
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED
    assert len(pipeline.service.jobs) == EntityJob.objects.count()


def test_a_failure_that_no_event_told_of(pipeline: RemotePipeline) -> None:
    """It may pass, so that it is tried again; but not for ever."""
    photo = make_photo(1)
    for attempt in range(3):
        come_of_age()
        pipeline.hand_in()
        for job in pipeline.service.jobs.values():
            job.fields.update(status="error", error_message="CUDA out of memory at /srv/models")
        assert job_of(photo.pk, TaskType.CLIP_EMBEDDING).attempts == attempt
        pipeline.poll()
        pipeline.follow_hints()

    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "clip_embedding: CUDA out of memory at models" in row.error_message
    assert pipeline.service.jobs == {}


def test_an_image_that_cannot_be_decoded_is_not_tried_again(pipeline: RemotePipeline) -> None:
    photo = make_photo(1)
    pipeline.hand_in()
    for job in pipeline.service.jobs.values():
        job.files[job.fields["params"]["input_path"]] = b"junk"
    pipeline.go_round()

    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "Failed to load image: image.jpg" in row.error_message
    assert len(pipeline.service.requests("POST", "/jobs/")) == len(IMAGE_TASKS)


def test_a_service_that_forgot_its_jobs(pipeline: RemotePipeline) -> None:
    photo = make_photo(1)
    pipeline.hand_in()
    pipeline.service.restart()
    for _ in range(3):
        pipeline.go_round()
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED
    assert job_of(photo.pk, TaskType.CLIP_EMBEDDING).attempts == 1


def test_a_service_that_forgets_again_and_again(pipeline: RemotePipeline) -> None:
    photo = make_photo(1)
    for _ in range(3):
        come_of_age()
        pipeline.hand_in()
        pipeline.service.restart()
        pipeline.poll()
        pipeline.follow_hints()
    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "does not know the job" in row.error_message


def test_a_job_that_never_ends(pipeline: RemotePipeline) -> None:
    photo = make_photo(1)
    for _ in range(3):
        come_of_age()
        pipeline.hand_in()
        for job in pipeline.service.jobs.values():
            job.fields["status"] = "processing"
        pipeline.poll()
        pipeline.follow_hints()
        assert row_of(photo.pk).clip_status == JobStatus.IN_PROGRESS
        EntityJob.objects.update(started_at=timezone.now() - timedelta(minutes=16))
        pipeline.poll()
        pipeline.follow_hints()
        assert pipeline.service.jobs == {}  # whatever it still does, it does not do it for us

    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "at it for more than 0:15:00" in row.error_message


def test_a_job_that_takes_its_time_is_left_in_peace(pipeline: RemotePipeline) -> None:
    photo = make_photo(1)
    pipeline.hand_in()
    for job in pipeline.service.jobs.values():
        job.fields["status"] = "in_progress"
    for _ in range(3):
        pipeline.poll()
        pipeline.follow_hints()
        come_of_age()
        pipeline.processing.sweeper.sweep_jobs()
    assert set(EntityJob.objects.values_list("status", "attempts")) == {(JobStatus.IN_PROGRESS, 0)}
    assert len(pipeline.service.jobs) == len(IMAGE_TASKS)
    assert row_of(photo.pk).processing_status == ProcessingStatus.PROCESSING


def test_a_service_that_is_away_costs_nothing_but_time(pipeline: RemotePipeline) -> None:
    photo = make_photo(1)
    pipeline.service.misbehave("POST", "/jobs/", says(503), times=10_000)
    for _ in range(5):
        pipeline.go_round()
    assert pipeline.service.jobs == {}
    assert set(EntityJob.objects.values_list("status", "attempts")) == {(JobStatus.PENDING, 0)}
    assert "does not answer now" in job_of(photo.pk, TaskType.CLIP_EMBEDDING).error_message

    pipeline.service._faults.clear()
    pipeline.go_round()
    pipeline.service.misbehave("GET", "/jobs/", says(503), times=10_000)
    for _ in range(5):
        pipeline.go_round()
    pipeline.service._faults.clear()
    pipeline.go_round()

    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED
    assert set(EntityJob.objects.values_list("attempts", flat=True)) == {0}


def test_a_service_with_other_models_than_configured(pipeline: RemotePipeline) -> None:
    photo = make_photo(1)
    pipeline.hand_in()
    pipeline.service.work()
    for job in pipeline.service.jobs.values():
        if job.fields["task_type"] == TaskType.CLIP_EMBEDDING:
            job.files["output/clip_embedding.npy"] = npy(np.ones(768, np.float32))
    pipeline.poll()
    pipeline.follow_hints()

    clip = job_of(photo.pk, TaskType.CLIP_EMBEDDING)
    assert (clip.status, clip.attempts) == (JobStatus.FAILED, 0)
    assert "expected 512 numbers <f4, got (768,)" in clip.error_message
    assert get_clip_store().count() == 0


def test_a_result_that_never_arrives_whole(pipeline: RemotePipeline) -> None:
    photo = make_photo(1)
    pipeline.service.misbehave("GET", "/files/", compute_service.cut_short, times=10_000)
    for _ in range(3):
        pipeline.go_round()
    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "clip_embedding: The compute service broke off" in row.error_message


def test_the_same_job_handed_in_twice(pipeline: RemotePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload took longer than its lease, and another worker was faster: one job is kept, one deleted."""
    photo = make_photo(1)
    jobs, submit = pipeline.processing.jobs, pipeline.client.submit

    def slow(*arguments: Any) -> str:
        monkeypatch.setattr(pipeline.client, "submit", submit)
        come_of_age()
        jobs.dispatch()  # by the other worker
        return submit(*arguments)

    monkeypatch.setattr(pipeline.client, "submit", slow)
    pipeline.hand_in()
    assert len(pipeline.service.jobs) == len(IMAGE_TASKS) + 1

    pipeline.follow_hints()
    assert set(pipeline.service.jobs) == set(EntityJob.objects.values_list("job_id", flat=True))
    assert row_of(photo.pk).clip_job_id in pipeline.service.jobs


def test_nothing_is_uploaded_under_a_lease_that_went_to_another(pipeline: RemotePipeline) -> None:
    make_photo(1)
    pipeline.processing.processor.reconcile()
    (claimed,) = pipeline.processing.jobs._claim()[0].values()
    come_of_age()
    pipeline.processing.jobs.dispatch()
    pipeline.processing.jobs.submit(claimed)
    assert len(pipeline.service.requests("POST", "/jobs/")) == len(IMAGE_TASKS)


def test_a_service_that_gives_one_id_to_all(pipeline: RemotePipeline) -> None:
    make_photo(1)
    answer = says(200, {"job_id": "the-one", "status": "queued"})
    pipeline.service.misbehave("POST", "/jobs/", answer, times=len(IMAGE_TASKS))
    pipeline.hand_in()
    assert sorted(EntityJob.objects.values_list("job_id", "attempts"), key=str) == [
        ("the-one", 0),
        (None, 1),
        (None, 1),
    ]


def test_late_news_of_a_job_that_was_handed_in_again(pipeline: RemotePipeline) -> None:
    photo = make_photo(1)
    pipeline.hand_in()
    stale = job_of(photo.pk, TaskType.CLIP_EMBEDDING)
    pipeline.processing.jobs.put_off(stale, "lost")
    come_of_age()
    pipeline.hand_in()
    now = job_of(photo.pk, TaskType.CLIP_EMBEDDING)
    assert now.job_id not in (None, stale.job_id)

    pipeline.processing.jobs.put_off(stale, "lost, says another")
    pipeline.processing.jobs.put_off(stale, "failed, says a third", permanent=True)

    assert job_of(photo.pk, TaskType.CLIP_EMBEDDING).job_id == now.job_id


def test_a_job_of_a_removed_photo_is_deleted_on_the_service(pipeline: RemotePipeline) -> None:
    make_photo(1)
    pipeline.hand_in()
    (job_id, *_others) = pipeline.service.jobs
    EntityJob.objects.all().delete()
    hints.finish_jobs([job_id])  # its event
    pipeline.follow_hints()
    assert job_id not in pipeline.service.jobs


# --- How often it is asked --------------------------------------------------------------------------------


def test_a_job_is_asked_about_less_and_less_often(pipeline: RemotePipeline) -> None:
    make_photo(1)
    pipeline.hand_in()
    assert pipeline.processing.poller.poll() == 0  # handed in only now
    assert pipeline.poll() == len(IMAGE_TASKS)
    assert pipeline.processing.poller.poll() == 0

    waits = []
    for minutes in (0, 1, 60):
        EntityJob.objects.update(created_at=timezone.now() - timedelta(minutes=minutes))
        pipeline.poll()
        next_time = EntityJob.objects.values_list("not_before", flat=True)[0]
        assert next_time is not None
        waits.append(next_time - timezone.now())
    assert timedelta(seconds=3) < waits[0] < waits[1] < waits[2] < timedelta(seconds=75)


def test_asking_is_bounded_and_begins_with_those_due_longest(
    pipeline: RemotePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "BATCH_SIZE", 2)
    make_photo(1)
    pipeline.hand_in()
    come_of_age()
    order = list(EntityJob.objects.order_by("-pk"))
    for number, job in enumerate(order):
        due = timezone.now() - timedelta(minutes=10 - number)
        EntityJob.objects.filter(pk=job.pk).update(not_before=due)
    assert pipeline.processing.poller.poll() == 2
    assert [arguments[0] for task, arguments in pipeline.hints if task == "finish_jobs"] == [
        [job.job_id] for job in order[:2]
    ]


def test_two_pollers_ask_once(pipeline: RemotePipeline) -> None:
    make_photo(1)
    pipeline.hand_in()
    come_of_age()
    found_by_both = polling._due_jobs()
    assert [polling._take(job) for job in found_by_both] == [True] * len(IMAGE_TASKS)
    assert [polling._take(job) for job in found_by_both] == [False] * len(IMAGE_TASKS)


# --- Its queue ---


def wait_for_hours(pipeline: RemotePipeline, hours: float) -> None:
    EntityJob.objects.live().update(updated_at=timezone.now() - timedelta(hours=hours), not_before=None)
    pipeline.processing.poller.poll()
    pipeline.follow_hints()


def test_a_job_that_only_waits_there_is_taken_back_and_handed_in_again(pipeline: RemotePipeline) -> None:
    photo = make_photo(1)
    pipeline.hand_in()
    wait_for_hours(pipeline, 5.9)
    assert job_of(photo.pk, TaskType.CLIP_EMBEDDING).status == JobStatus.QUEUED

    wait_for_hours(pipeline, 6.1)
    job = job_of(photo.pk, TaskType.CLIP_EMBEDDING)
    assert (job.status, job.attempts, job.job_id) == (JobStatus.PENDING, 1, None)
    assert "did not begin with it within 6:00:00" in job.error_message
    assert pipeline.service.jobs == {}

    for _ in range(3):
        pipeline.go_round()
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_a_queue_that_never_moves_holds_no_place_for_ever(pipeline: RemotePipeline) -> None:
    photo = make_photo(1)
    for _ in range(3):
        EntityJob.objects.update(not_before=None)
        pipeline.hand_in()
        wait_for_hours(pipeline, 7)

    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "clip_embedding: Taken back: the compute service did not begin with it" in row.error_message
    assert not EntityJob.objects.live().exists()
    assert pipeline.service.jobs == {}
