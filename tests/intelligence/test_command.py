"""`manage.py intelligence`: what it says and what it does."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from intelligence import hints, pauses, redo, worker_status
from intelligence.models import EntityJob, ImageIntelligence, TaskPause
from intelligence.vocabulary import JobStatus, Priority, ProcessingStatus, TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline, job_of, row_of
from tests.processes import Manage
from vectors import get_clip_store, get_face_store

pytestmark = pytest.mark.django_db(transaction=True)

CLIP, DINO = TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING


def run(*arguments: object) -> str:
    out = StringIO()
    call_command("intelligence", *map(str, arguments), stdout=out)
    return out.getvalue()


def status() -> Any:
    return json.loads(run("status", "--json"))


def explain(entity_id: int) -> Any:
    return json.loads(run("explain", entity_id, "--json"))


def fail(entity_id: int, task: TaskType, reason: str) -> None:
    """As if the last job of the task had failed."""
    job = job_of(entity_id, task)
    EntityJob.objects.filter(pk=job.pk).update(status=JobStatus.FAILED, error_message=reason)
    field = {CLIP: "clip_status", DINO: "dino_status"}[task]
    ImageIntelligence.objects.filter(pk=entity_id).update(
        **{field: JobStatus.FAILED}, processing_status=ProcessingStatus.FAILED, error_message=reason
    )


# --- status ---


def test_status_counts_images_and_tasks(pipeline: Pipeline) -> None:
    make_photo(1)
    pipeline.work()
    pauses.pause(CLIP, by="Ada")
    waiting = make_photo(2)
    pipeline.work()
    ImageIntelligence.objects.filter(pk=waiting.pk).update(updated_at=timezone.now() - timedelta(hours=1))
    worker_status.worker_started()

    told = status()

    assert told["images"] == {"pending": 1, "processing": 0, "completed": 1, "failed": 0}
    clip = told["tasks"]["clip_embedding"]
    assert (clip["images"]["completed"], clip["images"]["pending"]) == (1, 1)
    assert clip["paused"]["by"] == "Ada"
    assert clip["oldest_waiting"] < (timezone.now() - timedelta(minutes=59)).isoformat()
    assert clip["ended_per_minute"] == {"5": 0.2, "60": 0.02}
    assert told["tasks"]["dino_embedding"]["paused"] is None
    assert told["tasks"]["dino_embedding"]["oldest_waiting"] is None
    assert told["worker"]["status"] == "idle"


def test_status_in_words(pipeline: Pipeline) -> None:
    make_photo(1)
    pauses.pause(CLIP, by="Ada")
    pipeline.reconcile()
    pipeline.dispatch()
    told = run("status")
    assert "images: 1 processing" in told
    assert "by Ada" in told
    assert "jobs under way: 1 queued" in told
    assert "the oldest has waited for" in told


def test_status_does_the_queries_of_one_image(pipeline: Pipeline) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            status()
        return len(captured)

    make_photo(0)
    pipeline.work()
    few = queries()
    for seed in range(1, 6):
        make_photo(seed)
        pipeline.work()
    assert queries() == few <= 7


# --- pause and resume ---


def test_pause_and_resume() -> None:
    assert "is paused" in run("pause", "clip_embedding", "--by", "Ada")
    assert "was paused already" in run("pause", "clip_embedding", "--by", "Bob")
    assert TaskPause.objects.get().paused_by == "Ada"
    assert "goes on" in run("resume", "clip_embedding")
    assert "was not paused" in run("resume", "clip_embedding")


# --- retry ---


def test_retry_tries_what_has_failed(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    one, two = make_photo(1), make_photo(2)
    pipeline.work()
    fail(one.pk, CLIP, "out of memory")
    before = EntityJob.objects.count()
    monkeypatch.setattr(hints, "send", lambda task, *_arguments, **_options: asked.append(task))

    assert "clip_embedding: 1 images are asked for again" in run("retry", "--failed")
    assert "dispatch" in asked
    pipeline.work()

    assert row_of(one.pk).processing_status == ProcessingStatus.COMPLETED
    assert job_of(one.pk, CLIP).status == JobStatus.COMPLETED
    assert EntityJob.objects.count() == before + 1
    assert row_of(two.pk).priority == Priority.UPLOAD  # left alone


def test_retry_chooses(pipeline: Pipeline) -> None:
    memory, other = make_photo(1), make_photo(2)
    pipeline.work()
    fail(memory.pk, CLIP, "There was not enough MEMORY.")
    fail(other.pk, CLIP, "The file is missing.")
    fail(other.pk, DINO, "The file is missing.")

    run("retry", "--failed", "--dry-run")
    run("retry", "--error-like", "nothing like it")
    assert ImageIntelligence.objects.filter(processing_status=ProcessingStatus.FAILED).count() == 2
    run("retry", "--error-like", "enough memory")
    assert row_of(memory.pk).clip_status == JobStatus.PENDING
    assert row_of(other.pk).clip_status == JobStatus.FAILED
    run("retry", "--entity", other.pk, "--task", "dino_embedding")
    assert row_of(other.pk).dino_status == JobStatus.PENDING
    assert row_of(other.pk).clip_status == JobStatus.FAILED


def test_retry_leaves_the_trash_alone(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    fail(photo.pk, CLIP, "out of memory")
    type(photo).objects.filter(pk=photo.pk).update(is_deleted=True)
    run("retry", "--failed")
    assert row_of(photo.pk).clip_status == JobStatus.FAILED


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["retry"], 2),
        (["retry", "--entity", "4711"], 1),
        (["reprocess", "--task", "clip_embedding", "--entity", "4711"], 1),
        (["explain", "4711"], 1),
    ],
)
def test_scripts_can_trust_the_exit_code(arguments: list[str], code: int) -> None:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    assert caught.value.returncode == code


def test_bad_usage_exits_with_2(manage: Manage) -> None:
    ended = manage("intelligence", "reprocess", "--task", "clip_embedding", "--all", "--missing")
    assert ended.returncode == 2
    assert "not allowed with" in ended.stderr


# --- reprocess ---


def test_reprocess_does_completed_work_again_and_search_keeps_the_old(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    first = job_of(photo.pk, CLIP)
    fresh = make_photo(2)

    run("reprocess", "--task", "clip_embedding", "--all")
    assert row_of(photo.pk).priority == Priority.REDO
    pipeline.reconcile()
    assert row_of(fresh.pk).priority > row_of(photo.pk).priority
    pipeline.dispatch()
    ended = pipeline.run()
    assert photo.pk in get_clip_store().fetch([photo.pk])
    pipeline.finish(ended)
    pipeline.work()

    assert job_of(photo.pk, CLIP).pk > first.pk
    assert job_of(photo.pk, CLIP).status == JobStatus.COMPLETED
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED
    assert EntityJob.objects.filter(entity=photo, task_type=DINO).count() == 1


def test_reprocess_faces(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.work()
    vectors = {record.id for record in get_face_store().scroll()}
    run("reprocess", "--task", "face_embedding", "--entity", photo.pk)
    pipeline.work()
    assert EntityJob.objects.filter(task_type=TaskType.FACE_EMBEDDING).count() == 4
    assert {record.id for record in get_face_store().scroll()} == vectors
    assert row_of(photo.pk).processing_status == ProcessingStatus.COMPLETED


def test_reprocess_what_is_missing(pipeline: Pipeline) -> None:
    whole, torn = make_photo(1), make_photo(2)
    pipeline.work()
    EntityJob.objects.filter(entity=torn, task_type=DINO).delete()

    assert "dino_embedding: 1 images would" in run(
        "reprocess", "--task", "dino_embedding", "--missing", "--dry-run"
    )
    assert row_of(torn.pk).dino_status == JobStatus.COMPLETED
    run("reprocess", "--task", "dino_embedding", "clip_embedding", "--missing")

    assert row_of(torn.pk).dino_status == JobStatus.PENDING
    assert row_of(torn.pk).clip_status == row_of(whole.pk).dino_status == JobStatus.COMPLETED


def test_asking_again_goes_in_batches(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(5):
        make_photo(seed)
    pipeline.work()
    monkeypatch.setattr(redo, "BATCH_SIZE", 2)
    assert list(redo.ask_again(redo.all_ended(CLIP), Priority.REDO)) == [2, 2, 1]


# --- explain ---


def test_explain_tells_the_whole_story(pipeline: Pipeline) -> None:
    photo = make_photo(1, label="the cat")
    pipeline.work()

    told = explain(photo.pk)

    assert [version["md5"] for version in told["versions"]] == [photo.md5]
    assert told["row"]["clip_status"] == "completed"
    assert len(told["jobs"]) == 5
    assert {job["attempts"] for job in told["jobs"]} == {1}
    assert told["vectors"]["clip"] == {"md5_by_id": {str(photo.pk): photo.md5}, "error": ""}
    assert set(told["vectors"]["face"]["md5_by_id"]) == {str(face["id"]) for face in told["faces"]}
    assert told["waits_for"] == "Nothing: all is done."
    words = run("explain", photo.pk)
    assert "the cat" in words
    assert "waits for: Nothing" in words


def test_explain_says_what_it_waits_for(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    assert "is read from history" in explain(photo.pk)["waits_for"]
    pauses.pause(CLIP, by="Ada")
    pipeline.reconcile()
    assert "dino_embedding waits for its turn" in explain(photo.pk)["waits_for"]
    pipeline.dispatch()
    assert "dino_embedding is with fake compute" in explain(photo.pk)["waits_for"]
    pipeline.work()
    assert explain(photo.pk)["waits_for"].startswith("clip_embedding is paused by Ada since")
    pauses.resume(CLIP)
    pipeline.processing.jobs.storage.remove(photo.file_path or "")
    pipeline.work()
    assert "missing from the media folder" in explain(photo.pk)["waits_for"]
    type(photo).objects.filter(pk=photo.pk).update(is_deleted=True)
    assert "in the trash" in explain(photo.pk)["waits_for"]
    pk = photo.pk
    photo.delete()
    assert explain(pk)["waits_for"] == "Nothing: it was removed for good."


def test_explain_says_when_an_attempt_follows(pipeline: Pipeline) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    pipeline.processing.jobs.put_off(job_of(photo.pk, CLIP), "the service is away")
    assert "clip_embedding is tried again at" in explain(photo.pk)["waits_for"]
    assert "the service is away" in explain(photo.pk)["waits_for"]
