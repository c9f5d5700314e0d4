from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.utils import timezone

from entities import services
from entities.models import Entity
from intelligence import hints, rows
from intelligence.compute.base import EmbeddingResult
from intelligence.models import EntityJob, Face, ImageIntelligence
from intelligence.vocabulary import IMAGE_TASKS, JobStatus, ProcessingStatus, TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline, job_of, row_of
from vectors import VectorPoint, VectorsUnavailableError, get_clip_store, get_dino_store, get_face_store

pytestmark = pytest.mark.django_db(transaction=True)


def age_jobs(**fields: object) -> None:
    EntityJob.objects.update(updated_at=timezone.now() - timedelta(hours=1), **fields)


def test_it_works(pipeline: Pipeline) -> None:
    photo = make_photo(1)

    pipeline.work()

    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.COMPLETED
    assert {row.face_detection_status, row.clip_status, row.dino_status} == {JobStatus.COMPLETED}
    for task, field in rows.JOB_ID_FIELDS.items():
        assert getattr(row, field) == job_of(photo.pk, task).job_id
    assert row.face_count == Face.objects.filter(entity=photo).count() == 2
    assert set(get_clip_store().fetch([photo.pk])) == set(get_dino_store().fetch([photo.pk])) == {photo.pk}
    faces = Face.objects.values_list("pk", flat=True)
    assert set(get_face_store().fetch(faces)) == set(faces)
    assert (
        EntityJob.objects.filter(task_type=TaskType.FACE_EMBEDDING, status=JobStatus.COMPLETED).count() == 2
    )


def test_no_face_is_a_result(pipeline: Pipeline, data_dir: Path) -> None:
    pipeline.client._source.now()._faces = 0  # type: ignore[attr-defined]
    photo = make_photo(1)
    pipeline.work()
    assert row_of(photo.pk).face_count == 0
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_it_is_completed_only_when_the_faces_are(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch_faces_apart()
    pipeline.finish(pipeline.run())

    assert row_of(photo.pk).clip_status == JobStatus.COMPLETED
    assert row_of(photo.pk).processing_status == ProcessingStatus.PROCESSING

    pipeline.finish(pipeline.run())
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_finishing_twice_changes_nothing(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    ended = pipeline.run()

    pipeline.finish(ended)
    faces = set(Face.objects.values_list("pk", flat=True))
    pipeline.finish(ended)

    assert set(Face.objects.values_list("pk", flat=True)) == faces
    assert row_of(photo.pk).face_count == 2


def test_dispatch_keeps_to_the_cap_and_fills_up(pipeline: Pipeline) -> None:
    jobs = replace(pipeline.processing.jobs, max_outstanding=2)
    for seed in range(5):
        make_photo(seed)
    pipeline.reconcile()

    assert jobs.dispatch() == 2
    assert EntityJob.objects.live().count() == 6
    assert jobs.dispatch() == 0

    pipeline.work()
    assert ImageIntelligence.objects.filter(processing_status=ProcessingStatus.COMPLETED).count() == 5


def test_a_result_of_older_content_leaves_no_trace(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    ended = pipeline.run()
    Entity.objects.filter(pk=photo.pk).update(md5="0" * 32)  # replaced; nobody has reconciled it yet

    pipeline.finish(ended)

    assert set(EntityJob.objects.values_list("status", flat=True)) == {JobStatus.DISCARDED}
    assert get_clip_store().count() == 0
    assert not Face.objects.exists()


def test_a_result_of_another_model_leaves_no_trace(pipeline: Pipeline) -> None:
    make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    ended = pipeline.run()
    EntityJob.objects.update(model="a model that was replaced")

    pipeline.finish(ended)

    assert set(EntityJob.objects.values_list("status", flat=True)) == {JobStatus.DISCARDED}
    assert get_clip_store().count() == 0


def test_a_store_that_is_away_changes_nothing(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    ended = pipeline.run()
    store = pipeline.processing.callbacks.appliers[TaskType.CLIP_EMBEDDING].store  # type: ignore[attr-defined]

    def away(*_arguments: object, **_options: object) -> None:
        raise VectorsUnavailableError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(type(store), "upsert", away)
        with pytest.raises(VectorsUnavailableError):
            pipeline.finish([job_of(photo.pk, TaskType.CLIP_EMBEDDING).job_id or ""])
    assert job_of(photo.pk, TaskType.CLIP_EMBEDDING).status == JobStatus.IN_PROGRESS

    pipeline.finish(ended)
    pipeline.work()
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_an_unusable_result_fails_the_job_with_the_reason(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vector of another dimension is never cut to fit."""
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    pipeline.run()
    job = job_of(photo.pk, TaskType.CLIP_EMBEDDING)
    report = pipeline.client.get(job.job_id or "")
    short = EmbeddingResult(np.ones(100, np.float32), job.model)
    monkeypatch.setattr(type(pipeline.client), "get", lambda *_: type(report)(report.state, short))

    pipeline.finish([job.job_id or ""])

    job.refresh_from_db()
    assert job.status == JobStatus.FAILED
    assert "100 dimensions" in job.error_message
    assert row_of(photo.pk).clip_status == JobStatus.FAILED


def test_a_missing_file_fails_with_the_reason(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.processing.jobs.storage.remove(photo.file_path or "")

    pipeline.work()

    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "missing from the media folder" in row.error_message


def test_a_job_that_compute_forgot_is_submitted_again(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    pipeline.started.clear()
    forgotten = [job.job_id or "" for job in EntityJob.objects.all()]
    for job_id in forgotten:
        pipeline.client.cancel(job_id)

    pipeline.finish(forgotten)
    age_jobs(not_before=None)
    pipeline.processing.sweeper.sweep_jobs()
    pipeline.work()

    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_an_image_that_kills_its_worker_is_given_up(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    for _ in range(3):
        (of_image,) = rows.claim_for_run(pipeline.started)
        assert len(of_image) == len(IMAGE_TASKS)  # and the worker dies
        pipeline.started.clear()
        age_jobs()
        pipeline.processing.sweeper.sweep_jobs()

    assert pipeline.started == []
    row = row_of(photo.pk)
    assert row.processing_status == ProcessingStatus.FAILED
    assert "3 runs ended without an answer" in row.error_message


def test_lost_hints_are_swept_up(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is heard of the submitted jobs, then nothing of those that have run."""
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    pipeline.started.clear()
    age_jobs()
    pipeline.processing.sweeper.sweep_jobs()
    assert len(pipeline.started) == len(IMAGE_TASKS)

    pipeline.run()
    age_jobs()
    monkeypatch.setattr(hints, "finish_jobs", pipeline.finish)
    pipeline.processing.sweeper.sweep_jobs()
    pipeline.work()
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_a_crash_between_writing_a_job_down_and_submitting_it(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    assert set(pipeline.processing.jobs._claim()[0]) == {photo.pk}  # and the worker dies
    assert pipeline.dispatch() == 0  # nobody can know yet
    age_jobs(not_before=timezone.now() - timedelta(hours=1))

    pipeline.work()

    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_images_that_no_history_announced_are_found(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    ImageIntelligence.objects.all().delete()
    EntityJob.objects.all().delete()

    assert pipeline.processing.sweeper.sweep_images() == 1
    pipeline.work()

    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_a_new_model_is_asked_about_every_image(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    EntityJob.objects.filter(task_type=TaskType.CLIP_EMBEDDING).update(model="the model before")

    assert pipeline.processing.sweeper.sweep_images() == 1
    pipeline.work()

    assert job_of(photo.pk, TaskType.CLIP_EMBEDDING).model == "fake-clip-512"
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_a_new_detection_replaces_the_faces(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    before = set(Face.objects.values_list("pk", flat=True))
    EntityJob.objects.filter(task_type=TaskType.FACE_DETECTION).update(model="the detector before")

    pipeline.processing.sweeper.sweep_images()
    pipeline.work()

    after = set(Face.objects.values_list("pk", flat=True))
    assert len(after) == row_of(photo.pk).face_count == 2
    assert after.isdisjoint(before)
    assert {record.id for record in get_face_store().scroll()} == after
    crops = {path.name for path in pipeline.processing.jobs.storage.media_root.rglob("faces/**/*.png")}
    assert crops == {Path(face.file_path).name for face in Face.objects.all()}


def test_what_a_detection_that_died_has_left_goes(pipeline: Pipeline) -> None:
    """Vectors are written before the rows of their faces are committed. PostgreSQL gives no id twice: those
    of a transaction that was lost are never written over."""
    photo, other = make_photo(1), make_photo(2)
    pipeline.reconcile()
    pipeline.dispatch()
    ended = pipeline.run()
    never_were = [
        VectorPoint(pk, np.ones(512, dtype=np.float32), {"entity_id": entity.pk, "face_id": pk})
        for pk, entity in ((4711, photo), (4712, other))
    ]
    get_face_store().upsert(never_were, model="fake-face-512")

    pipeline.finish(ended)

    assert Face.objects.exists()
    assert {record.id for record in get_face_store().scroll()} == set(
        Face.objects.values_list("pk", flat=True)
    )


def test_it_goes_too_where_the_image_is_in_the_trash_by_then(pipeline: Pipeline) -> None:
    photo, other = make_photo(1), make_photo(2)
    pipeline.work()
    faces = set(Face.objects.values_list("pk", flat=True))
    assert Face.objects.filter(entity=photo).exists()
    never_were = [
        VectorPoint(pk, np.ones(512, dtype=np.float32), {"entity_id": entity.pk, "face_id": pk})
        for pk, entity in ((4711, photo), (4712, other))
    ]
    get_face_store().upsert(never_were, model="fake-face-512")

    for entity in (photo, other):
        services.patch_entity(entity.pk, changes={"is_deleted": True}, by=None)
    pipeline.reconcile()

    assert {record.id for record in get_face_store().scroll()} == faces


def test_embeddings_of_faces_that_are_replaced_at_the_same_time_are_not_kept(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch_faces_apart()
    pipeline.finish(pipeline.run())
    embedded = pipeline.run()
    assert EntityJob.objects.filter(job_id__in=embedded, task_type=TaskType.FACE_EMBEDDING).count() == 2
    EntityJob.objects.filter(task_type=TaskType.FACE_DETECTION).update(model="the detector before")
    pipeline.processing.sweeper.sweep_images()
    pipeline.dispatch()
    detected = pipeline.run()
    assert EntityJob.objects.filter(job_id__in=detected, task_type=TaskType.FACE_DETECTION).exists()

    pipeline.finish([*embedded, *detected])

    faces = set(Face.objects.filter(entity=photo).values_list("pk", flat=True))
    assert {record.id for record in get_face_store().scroll()} <= faces


def test_a_row_is_not_settled_while_a_task_was_never_asked_for(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    EntityJob.objects.filter(task_type=TaskType.DINO_EMBEDDING).delete()

    pipeline.finish(pipeline.run())
    pipeline.finish(pipeline.run())

    assert row_of(photo.pk).clip_status == JobStatus.COMPLETED
    assert row_of(photo.pk).processing_status == ProcessingStatus.PENDING
