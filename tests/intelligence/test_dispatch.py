from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone

from entities.ingest import Ingester, Outcome
from entities.storage import EntityStorageService
from intelligence import hints, jobs, pauses, rows
from intelligence.compute.base import ComputeError
from intelligence.models import EntityJob, ImageIntelligence, TaskPause
from intelligence.vocabulary import (
    IMAGE_TASKS,
    LIVE_JOB_STATUSES,
    JobStatus,
    Priority,
    ProcessingStatus,
    TaskType,
)
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline, job_of, row_of
from tests.pictures import jpeg

pytestmark = pytest.mark.django_db(transaction=True)

CLIP = TaskType.CLIP_EMBEDDING


def narrow(pipeline: Pipeline, cap: int) -> Pipeline:
    service = replace(pipeline.processing.jobs, max_outstanding=cap)
    callbacks = replace(pipeline.processing.callbacks, jobs=service)
    return replace(pipeline, processing=replace(pipeline.processing, jobs=service, callbacks=callbacks))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hints that were sent; nothing else knows that there is something to do."""
    sent: list[str] = []
    monkeypatch.setattr(hints, "send", lambda task, *_arguments, **_options: sent.append(task))
    return sent


def live(task: TaskType) -> int:
    return EntityJob.objects.live().filter(task_type=task).count()


# --- Backpressure ---


def test_it_drains_to_the_last_as_jobs_end(pipeline: Pipeline, asked: list[str]) -> None:
    """Whichever way a job ends, its place is filled, at once or by a hint: results, lost files, trash."""
    pipeline = narrow(pipeline, 2)
    photos = [make_photo(seed) for seed in range(9)]
    pipeline.reconcile()
    pipeline.processing.jobs.storage.remove(photos[3].file_path or "")
    asked.append("dispatch")

    while "dispatch" in asked or pipeline.started:
        if "dispatch" in asked:
            asked.clear()
            pipeline.dispatch()
        assert all(live(task) <= 2 for task in IMAGE_TASKS)
        pipeline.finish(pipeline.run())
        if row_of(photos[5].pk).processing_status == ProcessingStatus.PROCESSING:
            rows.stop([photos[5].pk])

    ended = dict(ImageIntelligence.objects.values_list("pk", "processing_status"))
    assert ended.pop(photos[3].pk) == ProcessingStatus.FAILED
    assert ended.pop(photos[5].pk) == ProcessingStatus.PENDING
    assert set(ended.values()) == {ProcessingStatus.COMPLETED}


def test_an_import_drains_to_the_last_with_few_outstanding(pipeline: Pipeline, asked: list[str]) -> None:
    """As `serve` works: each result makes room, and nothing else asks for more."""
    pipeline = narrow(pipeline, 5)
    for seed in range(150):
        make_photo(seed)
    pipeline.reconcile()
    pipeline.dispatch()

    most = 0
    while pipeline.started:
        most = max(most, *(live(task) for task in IMAGE_TASKS))
        pipeline.finish(pipeline.run())

    assert most == 5
    ended = ImageIntelligence.objects.values_list("processing_status", flat=True)
    assert Counter(ended) == {ProcessingStatus.COMPLETED: 150}


def test_a_task_that_is_stuck_does_not_hold_up_the_others(pipeline: Pipeline) -> None:
    pipeline = narrow(pipeline, 1)
    first, second = make_photo(1), make_photo(2)
    pipeline.reconcile()
    pipeline.dispatch()
    stuck = job_of(first.pk, CLIP).job_id or ""
    pipeline.started.remove(stuck)

    pipeline.finish(pipeline.run())
    pipeline.dispatch()

    assert job_of(second.pk, TaskType.DINO_EMBEDDING).status == JobStatus.QUEUED
    assert not EntityJob.objects.filter(entity=second, task_type=CLIP).exists()


def test_faces_keep_to_the_cap_too(pipeline: Pipeline) -> None:
    """Those of one image are asked for together: two where there is room for one, and no more."""
    pipeline = narrow(pipeline, 1)
    for seed in range(3):
        make_photo(seed)
        pipeline.reconcile()
    ImageIntelligence.objects.update(face_embedding_status=JobStatus.DISCARDED)
    pipeline.work()
    ImageIntelligence.objects.update(
        face_embedding_status=JobStatus.PENDING, processing_status=ProcessingStatus.PENDING
    )
    EntityJob.objects.filter(task_type=TaskType.FACE_EMBEDDING).delete()

    pipeline.dispatch()

    assert live(TaskType.FACE_EMBEDDING) == 2


# --- Priorities ---


def test_a_fresh_upload_goes_before_a_backlog(pipeline: Pipeline) -> None:
    backlog = [make_photo(seed) for seed in range(4)]
    pipeline.work()
    rows.make_pending([photo.pk for photo in backlog], CLIP, Priority.REDO)
    fresh = make_photo(9)
    pipeline.reconcile()

    narrow(pipeline, 1).dispatch()

    assert set(EntityJob.objects.live().values_list("entity", flat=True)) == {fresh.pk}


def test_a_fresh_upload_goes_before_the_files_of_a_folder(pipeline: Pipeline, tmp_path: Path) -> None:
    ingester = Ingester(EntityStorageService.from_settings())
    for seed in range(3):
        path = tmp_path / f"{seed}.jpg"
        path.write_bytes(jpeg(seed))
        assert ingester.ingest(path).outcome is Outcome.STORED
    fresh = make_photo(9)
    pipeline.reconcile()

    narrow(pipeline, 1).dispatch()

    assert set(EntityJob.objects.live().values_list("entity", flat=True)) == {fresh.pk}
    imported = ImageIntelligence.objects.exclude(pk=fresh.pk).values_list("priority", flat=True)
    assert set(imported) == {Priority.IMPORT}
    assert Priority.BACKFILL < Priority.IMPORT < Priority.UPLOAD


def test_work_found_by_a_sweep_goes_after_uploads(pipeline: Pipeline) -> None:
    slipped, fresh = make_photo(1), make_photo(2)
    pipeline.processing.processor.reconcile_entities([slipped.pk], Priority.BACKFILL)
    pipeline.reconcile()

    assert row_of(slipped.pk).priority < row_of(fresh.pk).priority


def test_an_unfinished_image_keeps_its_better_place(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    rows.make_pending([photo.pk], CLIP, Priority.REDO)
    assert row_of(photo.pk).priority == Priority.UPLOAD


@pytest.mark.parametrize("task", TaskType)
def test_an_index_serves_what_waits_in_its_order(pipeline: Pipeline, task: TaskType) -> None:
    make_photo(1)
    pipeline.reconcile()
    ImageIntelligence.objects.update(face_detection_status=JobStatus.COMPLETED)
    with transaction.atomic():
        if connection.vendor == "postgresql":
            connection.cursor().execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
        plan = jobs.waiting_rows(task)[:3].explain()
    assert f"waits_{task}" in plan
    assert "TEMP B-TREE" not in plan


# --- Pauses ---


def test_a_paused_task_waits_and_the_others_go_on(pipeline: Pipeline) -> None:
    assert pauses.pause(CLIP, by="an operator")
    photo = make_photo(1)

    pipeline.work()

    row = row_of(photo.pk)
    assert (row.clip_status, row.processing_status) == (JobStatus.PENDING, ProcessingStatus.PENDING)
    assert row.dino_status == row.face_embedding_status == JobStatus.COMPLETED
    assert not EntityJob.objects.filter(task_type=CLIP).exists()
    assert TaskPause.objects.get().paused_by == "an operator"


@pytest.mark.parametrize("task", TaskType)
def test_resume_sends_what_waited(pipeline: Pipeline, task: TaskType, asked: list[str]) -> None:
    pauses.pause(task, by=None)
    photo = make_photo(1)
    pipeline.work()
    assert row_of(photo.pk).processing_status == ProcessingStatus.PENDING
    asked.clear()

    assert pauses.resume(task)
    assert asked == ["dispatch"]
    pipeline.work()

    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED
    assert not pauses.resume(task)


def test_who_paused_first_stays_on_record(pipeline: Pipeline) -> None:
    assert pauses.pause(CLIP, by="Ada")
    assert not pauses.pause(CLIP, by="Bob")
    assert TaskPause.objects.get().paused_by == "Ada"


def test_what_compute_has_is_finished(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    for task in TaskType:
        pauses.pause(task, by=None)

    pipeline.finish(pipeline.run())

    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_faces_are_left_for_later_while_their_task_is_paused(pipeline: Pipeline) -> None:
    pauses.pause(TaskType.FACE_EMBEDDING, by=None)
    photo = make_photo(1)

    pipeline.work()

    assert row_of(photo.pk).face_detection_status == JobStatus.COMPLETED
    assert row_of(photo.pk).face_embedding_status == JobStatus.PENDING
    assert not EntityJob.objects.filter(task_type=TaskType.FACE_EMBEDDING).exists()


def test_a_retry_waits_for_the_end_of_the_pause(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    lost = job_of(photo.pk, CLIP).job_id or ""
    pipeline.client.cancel(lost)
    pipeline.started.remove(lost)
    pauses.pause(CLIP, by=None)
    pipeline.finish([lost])  # compute has forgotten it
    EntityJob.objects.update(not_before=timezone.now())

    pipeline.work()
    row = row_of(photo.pk)
    assert (row.clip_status, row.processing_status) == (JobStatus.PENDING, ProcessingStatus.PENDING)

    pauses.resume(CLIP)
    pipeline.work()
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_a_pause_soon_shows_on_images_that_only_wait_for_it(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    later = timezone.now() + timedelta(minutes=1)
    EntityJob.objects.filter(task_type=CLIP).update(status=JobStatus.PENDING, job_id=None, not_before=later)
    ImageIntelligence.objects.update(clip_status=JobStatus.PENDING)
    pipeline.work()
    assert row_of(photo.pk).processing_status == ProcessingStatus.PROCESSING

    pauses.pause(CLIP, by=None)
    ImageIntelligence.objects.update(updated_at=timezone.now() - timedelta(minutes=1))
    pipeline.processing.sweeper.sweep_jobs()

    assert row_of(photo.pk).processing_status == ProcessingStatus.PENDING


# --- Handing over ---


def test_two_who_hand_over_the_same_job_leave_it_be(pipeline: Pipeline) -> None:
    """The second finds it handed over, and must not take it for discarded."""
    photo = make_photo(1)
    pipeline.reconcile()
    claimed = pipeline.processing.jobs._claim()[0][photo.pk]

    pipeline.processing.jobs.submit(claimed)
    pipeline.processing.jobs.submit(claimed)
    pipeline.work()

    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED
    assert set(EntityJob.objects.values_list("attempts", flat=True)) == {1}


def test_a_service_that_is_away_is_asked_again_later(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = make_photo(1)
    pipeline.reconcile()

    def away(*_arguments: object) -> str:
        raise ComputeError("connection refused")

    with monkeypatch.context() as patch:
        patch.setattr(type(pipeline.client), "submit", away)
        assert pipeline.processing.jobs.trigger_async_jobs(photo.pk) is None
    assert set(EntityJob.objects.values_list("status", "error_message")) == {
        (JobStatus.PENDING, "connection refused")
    }
    assert pipeline.dispatch() == 0

    EntityJob.objects.update(not_before=timezone.now())
    told = pipeline.processing.jobs.trigger_async_jobs(photo.pk)
    assert told is not None
    assert told.clip_job_id == job_of(photo.pk, CLIP).job_id
    assert told.errors == {}


def test_dispatch_does_a_fixed_number_of_queries_where_nothing_waits(
    pipeline: Pipeline, django_assert_max_num_queries: Callable[[int], object]
) -> None:
    for seed in range(3):
        make_photo(seed)
    pipeline.work()
    assert not EntityJob.objects.filter(status__in=LIVE_JOB_STATUSES).exists()
    with django_assert_max_num_queries(11):  # type: ignore[attr-defined]  # a context manager
        pipeline.dispatch()
