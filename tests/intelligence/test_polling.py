"""How often a compute service is asked about its jobs, and what comes of it."""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from intelligence import polling
from intelligence.models import EntityJob
from intelligence.vocabulary import IMAGE_TASKS, JobStatus, ProcessingStatus, TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import job_of, row_of
from tests.intelligence.remote_pipeline import RemotePipeline, come_of_age

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.allow_hosts(["127.0.0.1"])]


def test_a_job_is_asked_about_less_and_less_often(remotely: RemotePipeline) -> None:
    make_photo(1)
    remotely.hand_in()
    assert remotely.processing.poller.poll() == 0  # handed in only now
    assert remotely.poll() == len(IMAGE_TASKS)
    assert remotely.processing.poller.poll() == 0

    waits = []
    for minutes in (0, 1, 60):
        EntityJob.objects.update(created_at=timezone.now() - timedelta(minutes=minutes))
        remotely.poll()
        next_time = EntityJob.objects.values_list("not_before", flat=True)[0]
        assert next_time is not None
        waits.append(next_time - timezone.now())
    assert timedelta(seconds=3) < waits[0] < waits[1] < waits[2] < timedelta(seconds=75)


def test_asking_is_bounded_and_begins_with_those_due_longest(
    remotely: RemotePipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling, "MOST_AT_ONCE", 2)
    asked: list[str] = []
    make_photo(1)
    remotely.hand_in()
    come_of_age()
    order = list(EntityJob.objects.order_by("-pk"))
    for number, job in enumerate(order):
        due = timezone.now() - timedelta(minutes=10 - number)
        EntityJob.objects.filter(pk=job.pk).update(not_before=due)
    assert replace(remotely.processing.poller, finish_jobs=asked.extend).poll() == 2
    assert asked == [job.job_id for job in order[:2]]


def test_asking_leaves_no_message_that_could_pile_up(remotely: RemotePipeline) -> None:
    make_photo(1)
    remotely.hand_in()
    for _ in range(3):
        assert remotely.poll() == len(IMAGE_TASKS)
    assert "finish_jobs" not in [task for task, _arguments in remotely.hints]


@pytest.mark.parametrize(("seconds", "together"), [(0.0, [1, 2]), (0.2, [1, 1, 1])])
def test_those_that_take_long_are_asked_about_alone(
    remotely: RemotePipeline, monkeypatch: pytest.MonkeyPatch, seconds: float, together: list[int]
) -> None:
    monkeypatch.setattr(polling, "QUICK_SECONDS", 0.1)
    make_photo(1)
    remotely.hand_in()
    come_of_age()
    asked: list[int] = []

    def finish(job_ids: Sequence[str]) -> None:
        asked.append(len(job_ids))
        time.sleep(seconds)

    replace(remotely.processing.poller, finish_jobs=finish).poll()
    assert asked == together


def test_a_round_of_asking_ends_in_time(remotely: RemotePipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "LONGEST_SECONDS", 0.05)
    make_photo(1)
    remotely.hand_in()
    come_of_age()
    slow = replace(remotely.processing.poller, finish_jobs=lambda _ids: time.sleep(0.1))
    assert [slow.poll() for _ in range(4)] == [1, 1, 1, 0]  # what one has taken, no other asks for


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), JobStatus.QUEUED, "no space left on the disk"),
        (ZeroDivisionError("division by zero"), JobStatus.FAILED, "the store itself has a fault (ZeroDiv"),
    ],
)
def test_a_result_that_cannot_be_stored_is_told_to_its_job_alone(
    remotely: RemotePipeline,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: JobStatus,
    told: str,
) -> None:
    photo = make_photo(1)
    remotely.hand_in()
    remotely.service.work()
    come_of_age()
    at_fault = job_of(photo.pk, TaskType.CLIP_EMBEDDING)

    def finish(job_ids: Sequence[str]) -> None:
        if at_fault.job_id in job_ids:
            raise error
        remotely.processing.callbacks.finish_jobs(job_ids)

    assert replace(remotely.processing.poller, finish_jobs=finish).poll() == len(IMAGE_TASKS)
    at_fault.refresh_from_db()
    assert (at_fault.status, told in at_fault.error_message) == (status, True)
    in_log = [record.exc_info for record in caplog.records if record.name == polling.__name__]
    assert bool(in_log) == (status == JobStatus.FAILED)  # which the job's message says of the log
    assert job_of(photo.pk, TaskType.DINO_EMBEDDING).status == JobStatus.COMPLETED


def test_two_pollers_ask_once(remotely: RemotePipeline) -> None:
    make_photo(1)
    remotely.hand_in()
    come_of_age()
    found_by_both = polling._due_jobs()
    assert [polling._take(job) for job in found_by_both] == [True] * len(IMAGE_TASKS)
    assert [polling._take(job) for job in found_by_both] == [False] * len(IMAGE_TASKS)


# --- Its queue ---


def wait_for_hours(remotely: RemotePipeline, hours: float) -> None:
    EntityJob.objects.live().update(updated_at=timezone.now() - timedelta(hours=hours), not_before=None)
    remotely.processing.poller.poll()
    remotely.follow_hints()


def test_a_job_that_only_waits_there_is_taken_back_and_handed_in_again(remotely: RemotePipeline) -> None:
    photo = make_photo(1)
    remotely.hand_in()
    wait_for_hours(remotely, 5.9)
    assert job_of(photo.pk, TaskType.CLIP_EMBEDDING).status == JobStatus.QUEUED

    wait_for_hours(remotely, 6.1)
    job = job_of(photo.pk, TaskType.CLIP_EMBEDDING)
    assert (job.status, job.attempts, job.job_id) == (JobStatus.PENDING, 1, None)
    assert "did not begin with it within 6:00:00" in job.error_message
    assert remotely.service.jobs == {}

    for _ in range(3):
        remotely.go_round()
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_a_queue_that_never_moves_holds_no_place_for_ever(remotely: RemotePipeline) -> None:
    photo = make_photo(1)
    for _ in range(3):
        EntityJob.objects.update(not_before=None)
        remotely.hand_in()
        wait_for_hours(remotely, 7)

    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "clip_embedding: Taken back: the compute service did not begin with it" in row.error_message
    assert not EntityJob.objects.live().exists()
    assert remotely.service.jobs == {}
