"""Faces that are embedded where they are found: as right as with jobs of their own, and for less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from intelligence import model_versions
from intelligence.compute.base import DetectedFace, FaceDetectionResult, JobReport
from intelligence.models import EntityJob, Face
from intelligence.vocabulary import JobStatus, ProcessingStatus, TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline, row_of
from vectors import get_face_store

pytestmark = pytest.mark.django_db(transaction=True)

FACE_EMBEDDING = TaskType.FACE_EMBEDDING


def run_once(pipeline: Pipeline) -> int:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    pipeline.finish(pipeline.run())
    return photo.pk


def altering(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, alter: Callable[[int, DetectedFace], DetectedFace]
) -> None:
    """What a detection answers, face by face."""
    answer = pipeline.client.get

    def get(job_id: str) -> JobReport:
        report = answer(job_id)
        if not isinstance(report.result, FaceDetectionResult):
            return report
        faces = tuple(alter(number, face) for number, face in enumerate(report.result.faces))
        return replace(report, result=replace(report.result, faces=faces))

    monkeypatch.setattr(pipeline.client, "get", get)


def each_face_was_embedded_once() -> bool:
    jobs = EntityJob.objects.filter(task_type=FACE_EMBEDDING, status=JobStatus.COMPLETED)
    faces = set(Face.objects.values_list("pk", flat=True))
    return (
        sorted(jobs.values_list("face", flat=True)) == sorted(faces)
        and set(get_face_store().fetch(faces)) == faces
    )


def test_one_run_completes_an_image_with_its_faces(pipeline: Pipeline) -> None:
    entity_id = run_once(pipeline)

    assert row_of(entity_id).processing_status == ProcessingStatus.COMPLETED
    assert row_of(entity_id).face_embedding_status == JobStatus.COMPLETED
    assert pipeline.started == []
    assert Face.objects.count() == 2
    assert each_face_was_embedded_once()
    job = EntityJob.objects.filter(task_type=FACE_EMBEDDING).earliest("pk")
    assert (job.attempts, job.model, job.backend) == (1, "fake-face-512", "fake")
    assert job.started_at is not None
    assert job.completed_at is not None


def test_a_face_that_could_not_be_embedded_gets_a_job(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so do the others of its image: they are asked for together."""
    altering(pipeline, monkeypatch, lambda number, face: replace(face, embedding=None) if number else face)

    entity_id = run_once(pipeline)
    assert row_of(entity_id).processing_status == ProcessingStatus.PROCESSING
    assert len(pipeline.started) == 2

    pipeline.work()
    assert row_of(entity_id).processing_status == ProcessingStatus.COMPLETED
    assert each_face_was_embedded_once()


def test_an_embedding_of_another_model_than_the_leading_one_is_not_used(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    pipeline.processing.jobs.models.begin(FACE_EMBEDDING, "fake2-face-512", by=None)
    pipeline.work()
    second = make_photo(2)
    pipeline.reconcile()
    pipeline.dispatch()
    ended = pipeline.run()
    model_versions.switch(FACE_EMBEDDING, by=None, force=True)

    pipeline.finish(ended)
    assert row_of(second.pk).processing_status == ProcessingStatus.PROCESSING
    pipeline.work()

    for pk in (photo.pk, second.pk):
        assert row_of(pk).processing_status == ProcessingStatus.COMPLETED
    faces = set(Face.objects.values_list("pk", flat=True))
    assert set(get_face_store().fetch(faces, model="fake2-face-512")) == faces


def test_it_is_the_leading_model_that_is_asked(pipeline: Pipeline) -> None:
    make_photo(1)
    pipeline.work()
    pipeline.processing.jobs.models.begin(FACE_EMBEDDING, "fake2-face-512", by=None)
    model_versions.switch(FACE_EMBEDDING, by=None, force=True)
    photo = make_photo(2)
    pipeline.reconcile()
    pipeline.processing.jobs.dispatch()
    pipeline.finish(pipeline.run())

    models = EntityJob.objects.filter(entity=photo, task_type=FACE_EMBEDDING).values_list("model", flat=True)
    assert set(models) == {"fake2-face-512"}
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_finishing_twice_embeds_no_face_twice(pipeline: Pipeline) -> None:
    make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    ended = pipeline.run()

    pipeline.finish(ended)
    pipeline.finish(ended)

    assert each_face_was_embedded_once()
