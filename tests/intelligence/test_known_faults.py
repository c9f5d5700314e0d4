"""Faults that an earlier server with this interface had, as far as no other test is about them."""

from __future__ import annotations

import pytest

from entities import services
from entities.models import Entity
from entities.storage import EntityStorageService
from intelligence.api.intelligence_data import intelligence_data
from intelligence.compute.base import JobReport, JobState
from intelligence.models import EntityJob
from intelligence.vocabulary import ProcessingStatus, TaskType
from tests.factories import jpeg, make_photo
from tests.intelligence.pipeline import Pipeline, row_of

pytestmark = pytest.mark.django_db(transaction=True)


def replace(photo: Entity, content: bytes) -> None:
    storage = EntityStorageService.from_settings()
    with storage.receive([content]) as incoming:
        services.replace_entity(
            photo.pk, is_collection=False, label="new", storage=storage, incoming=incoming
        )


def test_content_that_is_replaced_while_jobs_run_is_looked_at(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    of_the_old = pipeline.run()

    replace(photo, jpeg(2))
    pipeline.reconcile()
    pipeline.finish(of_the_old)
    pipeline.work()

    photo.refresh_from_db()
    row = row_of(photo.pk)
    assert (row.md5, row.processing_status) == (photo.md5, ProcessingStatus.COMPLETED)


def test_a_face_that_cannot_be_embedded_ends_as_failed(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch_faces_apart()
    pipeline.finish(pipeline.run())
    first, second = pipeline.run()
    answer = pipeline.client.get

    def fail_the_first(job_id: str) -> JobReport:
        if job_id == first:
            return JobReport(JobState.FAILED, error="too small", permanent=True)
        return answer(job_id)

    monkeypatch.setattr(pipeline.client, "get", fail_the_first)
    pipeline.finish([first, second])

    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "too small" in row.error_message
    faces = EntityJob.objects.filter(task_type=TaskType.FACE_EMBEDDING)
    told = intelligence_data(row, faces)
    assert sorted(told["inference_status"]["face_embeddings"]) == ["completed", "failed"]
