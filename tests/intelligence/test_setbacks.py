"""A result that cannot be taken in: never completed without its effect, never left without an end."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings

import vectors
from intelligence import processing, story, tasks
from intelligence.appliers import Completed, Facts
from intelligence.models import EntityJob, Face
from intelligence.processing import IntelligenceProcessingService
from intelligence.redo import ask_again, failed
from intelligence.vocabulary import JobStatus, Priority, ProcessingStatus, TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline, job_of, row_of
from vectors import VectorStoreError

pytestmark = pytest.mark.django_db(transaction=True)

CLIP = TaskType.CLIP_EMBEDDING


@dataclass
class FullDisk:
    """As EntityStorageService on a disk without space."""

    media_root: Path

    def resolve(self, file_path: str) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")


class Refusing:
    def __init__(self, error: Exception) -> None:
        self.error = error
        self.asked = 0

    def apply(self, completed: Sequence[Completed], facts: Facts) -> Sequence[Completed]:
        self.asked += 1
        raise self.error


@pytest.fixture
def finish(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Runs the task with its retries, three instead of a day of them, and without the waits between."""
    monkeypatch.setattr(tasks, "FINISH_RETRIES", 3)

    def run(job: EntityJob) -> None:
        tasks.finish_jobs.apply(args=([job.job_id],))

    monkeypatch.setattr(processing, "_service", pipeline.processing)
    return run


def ran(pipeline: Pipeline, task: TaskType) -> EntityJob:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    pipeline.run()
    return job_of(photo.pk, task)


def with_applier(pipeline: Pipeline, task: TaskType, applier: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    callbacks = pipeline.processing.callbacks
    changed = replace(callbacks, appliers={**callbacks.appliers, task: applier})
    monkeypatch.setattr(processing, "_service", replace(pipeline.processing, callbacks=changed))


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_vectors_that_refuse_the_connection(
    pipeline: Pipeline, finish: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ran(pipeline, CLIP)
    vectors.close_stores()
    closed_port = replace(settings.VECTORS, url="http://127.0.0.1:9", timeout_seconds=1)
    with override_settings(VECTORS=closed_port):
        storage = pipeline.processing.jobs.storage
        monkeypatch.setattr(
            processing, "_service", IntelligenceProcessingService.of(pipeline.client, storage)
        )
        monkeypatch.setattr(tasks, "FINISH_RETRIES", 0)
        finish(job)
        vectors.close_stores()

    job.refresh_from_db()
    assert job.status == JobStatus.FAILED
    assert job.error_message.startswith("The result could not be stored: the vector store did not take it.")
    assert row_of(job.entity_id).clip_status == JobStatus.FAILED


def test_a_full_disk(
    pipeline: Pipeline, finish: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch, data_dir: Path
) -> None:
    job = ran(pipeline, TaskType.FACE_DETECTION)
    applier: Any = pipeline.processing.callbacks.appliers[TaskType.FACE_DETECTION]
    full = replace(applier, storage=FullDisk(data_dir))
    with monkeypatch.context() as patch:
        with_applier(pipeline, TaskType.FACE_DETECTION, full, patch)
        finish(job)

    job.refresh_from_db()
    assert job.status == JobStatus.FAILED
    assert "no space left on the disk of the media folder" in job.error_message
    assert not Face.objects.exists()

    pipeline.finish([each.job_id or "" for each in EntityJob.objects.live()])
    assert row_of(job.entity_id).processing_status == ProcessingStatus.FAILED
    list(ask_again(failed(TaskType.FACE_DETECTION), Priority.BACKFILL))
    pipeline.work()
    assert row_of(job.entity_id).processing_status == ProcessingStatus.COMPLETED


def test_what_passes_is_tried_again_until_it_has_passed(
    pipeline: Pipeline, finish: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ran(pipeline, CLIP)
    applier = pipeline.processing.callbacks.appliers[CLIP]
    waits_for: list[str] = []

    class Recovering:
        def apply(self, completed: Sequence[Completed], facts: Facts) -> Sequence[Completed]:
            ((job, _),) = completed
            told = story.tell(job.entity_id)
            assert told is not None
            waits_for.append(job_of(job.entity_id, CLIP).error_message)
            if len(waits_for) < 3:
                raise OSError(errno.ENOSPC, "No space left on device")
            return applier.apply(completed, facts)

    with_applier(pipeline, CLIP, Recovering(), monkeypatch)
    finish(job)

    job.refresh_from_db()
    assert (job.status, job.error_message) == (JobStatus.COMPLETED, "")
    assert waits_for[0] == ""
    assert "no space left" in waits_for[1]
    assert vectors.get_clip_store().count() == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (VectorStoreError("The Qdrant server refused: wrong key"), "wrong key"),
        (KeyError("bbox"), "the store itself has a fault (KeyError: 'bbox')"),
    ],
)
def test_what_does_not_pass_fails_at_once_with_the_reason(
    pipeline: Pipeline,
    finish: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    reason: str,
) -> None:
    job = ran(pipeline, CLIP)
    refusing = Refusing(error)
    with_applier(pipeline, CLIP, refusing, monkeypatch)

    finish(job)

    job.refresh_from_db()
    assert job.status == JobStatus.FAILED
    assert reason in job.error_message
    assert refusing.asked == 1
