"""Each disagreement is made by plain SQL, and has to be gone after the sweep and the work it asks for."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from intelligence import sweeps
from intelligence.models import EntityJob, EntitySyncState, Face
from intelligence.vocabulary import JobStatus, Priority, ProcessingStatus, TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline, job_of, row_of

pytestmark = pytest.mark.django_db(transaction=True)

ROW, JOB = "UPDATE intelligence_imageintelligence SET", "UPDATE intelligence_entityjob SET"


def sql(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.rowcount > 0


def assert_whole(entity_id: int) -> None:
    row = row_of(entity_id)
    assert row.processing_status == ProcessingStatus.COMPLETED
    statuses = {row.face_detection_status, row.clip_status, row.dino_status, row.face_embedding_status}
    assert statuses == {JobStatus.COMPLETED}
    assert row.face_count == Face.objects.filter(entity=entity_id).count() == 2
    for task in TaskType:
        assert job_of(entity_id, task).status == JobStatus.COMPLETED


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM intelligence_imageintelligence",
        f"{ROW} md5 = 'another'",
        "DELETE FROM intelligence_entityjob WHERE task_type = 'dino_embedding'",
        "DELETE FROM intelligence_entityjob WHERE task_type = 'face_detection'",
        "DELETE FROM intelligence_entityjob WHERE task_type = 'face_embedding'",
        f"{JOB} model = 'the one before' WHERE task_type = 'face_embedding'",
        f"{JOB} md5 = 'of other content' WHERE task_type = 'clip_embedding'",
        f"{JOB} status = 'discarded' WHERE task_type = 'clip_embedding'",
        f"{ROW} processing_status = 'processing', clip_status = 'queued'",
        f"{ROW} processing_status = 'processing', clip_status = 'in_progress', dino_status = 'queued'",
        f"{ROW} processing_status = 'pending', face_embedding_status = 'queued'",
        f"{ROW} clip_status = 'queued'",
        f"{ROW} face_embedding_status = 'pending'",
        f"{ROW} clip_status = 'discarded', processing_status = 'pending'",
        f"{ROW} processing_status = 'failed', error_message = 'nobody knows'",
        f"{ROW} clip_status = 'failed'",
        f"{ROW} face_count = 7",
        f"{ROW} face_count = NULL",
    ],
)
def test_what_disagrees_is_healed(pipeline: Pipeline, damage: str) -> None:
    photo = make_photo(1)
    pipeline.work()
    assert_whole(photo.pk)
    sql(damage)

    pipeline.processing.sweeper.sweep_images()
    pipeline.work()

    assert_whole(photo.pk)


def test_running_it_twice_changes_nothing(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    before = row_of(photo.pk).updated_at, EntityJob.objects.count()

    assert pipeline.processing.sweeper.sweep_images() == 0
    assert pipeline.processing.sweeper.sweep_images() == 0
    pipeline.work()

    assert (row_of(photo.pk).updated_at, EntityJob.objects.count()) == before


def test_what_is_under_way_is_left_alone(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    before = row_of(photo.pk).updated_at

    assert pipeline.processing.sweeper.sweep_images() == 0

    assert row_of(photo.pk).updated_at == before


def test_a_failure_stays_until_somebody_retries(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.processing.jobs.storage.remove(photo.file_path or "")
    pipeline.work()

    assert pipeline.processing.sweeper.sweep_images() == 0

    assert row_of(photo.pk).processing_status == ProcessingStatus.FAILED


def test_the_trash_is_left_alone(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    type(photo).objects.filter(pk=photo.pk).update(is_deleted=True)
    sql(f"{ROW} clip_status = 'queued', face_count = 7")

    assert pipeline.processing.sweeper.sweep_images() == 0

    assert row_of(photo.pk).face_count == 7


def test_what_is_done_again_goes_last(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    sql(f"{JOB} model = 'the one before'")
    pipeline.processing.sweeper.sweep_images()
    assert row_of(photo.pk).priority == Priority.REDO


def test_each_sweep_looks_at_the_next_span(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [make_photo(seed) for seed in range(5)]
    pipeline.work()
    sql(f"{ROW} face_count = 7")
    monkeypatch.setattr(sweeps, "SPAN", 2)
    healed = []
    for _ in range(4):
        pipeline.processing.sweeper.sweep_images()
        healed.append(sum(row_of(photo.pk).face_count == 2 for photo in photos))
    assert healed == [2, 4, 5, 5]
    assert EntitySyncState.objects.get().swept_up_to == photos[1].pk


def test_a_sweep_does_the_queries_of_one_image(pipeline: Pipeline) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            pipeline.processing.sweeper.sweep_images()
        return len(captured)

    make_photo(0)
    pipeline.work()
    few = queries()
    for seed in range(1, 6):
        make_photo(seed)
    pipeline.work()
    assert queries() == few < 15
