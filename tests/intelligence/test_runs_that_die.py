"""A run whose process has died is told of at once: what it left is queued again, or given up with words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from intelligence import hints, runs
from intelligence.compute.base import RunDiedError
from intelligence.models import EntityJob
from intelligence.vocabulary import JobStatus, TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline, job_of, row_of

pytestmark = pytest.mark.django_db(transaction=True)

WHY = "The process that looked at the image died (SIGSEGV)."


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The runs that workers were asked for."""
    messages: list[list[str]] = []
    monkeypatch.setattr(hints, "infer", messages.append)
    return messages


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    ended: list[str] = []
    monkeypatch.setattr(hints, "finish_jobs", ended.extend)
    return ended


@pytest.fixture
def mortal(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Images of whose CLIP the client dies, once it has found their faces."""
    run, deadly = pipeline.client.run, set[int]()

    def until_it_dies(job_ids: Sequence[str]) -> tuple[str, ...]:
        jobs = EntityJob.objects.filter(job_id__in=job_ids, entity_id__in=deadly)
        if not (lost := [job.job_id or "" for job in jobs.exclude(task_type=TaskType.FACE_DETECTION)]):
            return run(job_ids)
        run([job_id for job_id in job_ids if job_id not in lost])
        raise RunDiedError(WHY, lost)

    monkeypatch.setattr(pipeline.client, "run", until_it_dies)
    monkeypatch.setattr(runs, "QUICK_SECONDS", 60.0)
    return deadly


def test_it_is_given_up_after_three_and_no_other_image_with_it(
    pipeline: Pipeline, mortal: set[int], asked: list[list[str]], told: list[str]
) -> None:
    deadly, *others = [make_photo(seed) for seed in range(4)]
    pipeline.reconcile()
    pipeline.dispatch()
    mortal.add(deadly.pk)
    job_ids = [*pipeline.started]
    faces = job_of(deadly.pk, TaskType.FACE_DETECTION).job_id

    runs.run(pipeline.client, job_ids)

    lost = {job_of(deadly.pk, task).job_id for task in (TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING)}
    assert [set(message) for message in asked] == [lost]  # alone
    assert set(told) == set(job_ids) - lost
    assert job_of(deadly.pk, TaskType.CLIP_EMBEDDING).status == JobStatus.QUEUED
    pipeline.finish(told)
    assert {row_of(photo.pk).processing_status for photo in others} == {"completed"}

    for _ in range(2):
        runs.run(pipeline.client, asked.pop())
    assert asked == []
    for task in (TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING):
        job = job_of(deadly.pk, task)
        assert (job.status, job.attempts) == (JobStatus.FAILED, 3)
        assert job.error_message == f"Given up: 3 runs ended without an answer. {WHY}"
    assert EntityJob.objects.get(job_id=faces).status == JobStatus.COMPLETED
    assert row_of(deadly.pk).processing_status == "failed"


def test_what_was_discarded_meanwhile_stays_so(
    pipeline: Pipeline, asked: list[list[str]], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = make_photo(1)
    pipeline.reconcile()
    pipeline.dispatch()
    job = job_of(photo.pk, TaskType.CLIP_EMBEDDING)

    def dies(job_ids: Sequence[str]) -> tuple[str, ...]:
        EntityJob.objects.filter(pk=job.pk).update(status=JobStatus.DISCARDED)
        raise RunDiedError(WHY, job_ids)

    monkeypatch.setattr(pipeline.client, "run", dies)
    runs.run(pipeline.client, [job.job_id or ""])

    assert asked == []
    assert job_of(photo.pk, TaskType.CLIP_EMBEDDING).status == JobStatus.DISCARDED
