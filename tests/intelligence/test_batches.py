"""Jobs that go together for speed, and none that suffers for another."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from entities.models import Entity
from intelligence import hints, processing, rows, runs, tasks
from intelligence.compute.base import EmbeddingResult, JobReport, JobState, UnknownJobError
from intelligence.compute.fake import FakeComputeClient
from intelligence.models import EntityJob
from intelligence.setbacks import give_up
from intelligence.vocabulary import IMAGE_TASKS, JobStatus, TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline, job_of
from vectors import get_clip_store

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def queued(pipeline: Pipeline) -> list[EntityJob]:
    """The jobs of eight images."""
    for seed in range(8):
        make_photo(seed)
    pipeline.reconcile()
    pipeline.dispatch()
    return list(EntityJob.objects.order_by("pk"))


def images_of(batch: list[str]) -> set[int]:
    return set(EntityJob.objects.filter(job_id__in=batch).values_list("entity_id", flat=True))


def test_a_few_images_are_started_together(queued: list[EntityJob]) -> None:
    batches = list(runs.together(queued, images_per_run=6))

    assert [len(images_of(batch)) for batch in batches] == [6, 2]
    assert sorted(job_id for batch in batches for job_id in batch) == sorted(
        job.job_id or "" for job in queued
    )


def test_an_image_whose_run_has_died_is_started_alone(queued: list[EntityJob]) -> None:
    suspect = queued[0].entity_id
    for job in queued:
        job.attempts = int(job.entity_id == suspect)

    batches = [images_of(batch) for batch in runs.together(queued)]

    assert {suspect} in batches
    assert sum(suspect in batch for batch in batches) == 1


def test_another_delivery_of_the_same_ids_runs_nothing(pipeline: Pipeline, queued: list[EntityJob]) -> None:
    job_ids = [job.job_id or "" for job in queued]
    assert len(rows.claim_for_run(job_ids)) == 8
    assert rows.claim_for_run(job_ids) == []


@pytest.fixture
def slow_client(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> FakeComputeClient:
    run = pipeline.client.run

    def slowly(job_ids: Sequence[str]) -> tuple[str, ...]:
        time.sleep(0.02)
        return run(job_ids)

    monkeypatch.setattr(pipeline.client, "run", slowly)
    return pipeline.client


def test_results_do_not_wait_for_those_of_slow_images(
    slow_client: FakeComputeClient, queued: list[EntityJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[set[int]] = []
    monkeypatch.setattr(hints, "finish_jobs", lambda job_ids: told.append(images_of(job_ids)))
    monkeypatch.setattr(runs, "TELL_SECONDS", 0.01)
    monkeypatch.setattr(runs, "QUICK_SECONDS", 60.0)  # on a busy machine, too

    runs.run(slow_client, [job.job_id or "" for job in queued])

    assert [len(images) for images in told if images] == [1] * 8


def test_where_images_take_long_each_goes_to_whoever_is_free(
    slow_client: FakeComputeClient, queued: list[EntityJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[list[str]] = []
    told: list[str] = []
    monkeypatch.setattr(hints, "infer", messages.append)
    monkeypatch.setattr(hints, "finish_jobs", told.extend)
    monkeypatch.setattr(runs, "QUICK_SECONDS", 0.01)
    job_ids = [job.job_id or "" for job in queued]

    runs.run(slow_client, job_ids)

    assert len(images_of(told)) == 1
    assert [len(images_of(each)) for each in messages] == [1] * 7
    for each in messages:
        runs.run(slow_client, each)
    assert len(messages) == 7
    assert sorted(told) == sorted(job_ids)


def test_a_job_that_was_forgotten_is_told_too(
    pipeline: Pipeline, queued: list[EntityJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that it is submitted again, and does not wait for a sweep."""
    told: list[str] = []
    monkeypatch.setattr(hints, "finish_jobs", told.extend)
    forgotten = queued[0].job_id or ""
    pipeline.client.cancel(forgotten)

    runs.run(pipeline.client, [forgotten])

    assert told == [forgotten]


def test_a_result_that_cannot_be_used_takes_no_other_with_it(
    pipeline: Pipeline, queued: list[EntityJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = pipeline.run()
    bad = job_of(queued[0].entity_id, TaskType.CLIP_EMBEDDING)
    get = pipeline.client.get

    def report(job_id: str) -> JobReport:
        good = get(job_id)
        short = EmbeddingResult(np.ones(100, np.float32), bad.model)
        return good if job_id != bad.job_id else JobReport(good.state, short)

    monkeypatch.setattr(pipeline.client, "get", report)
    pipeline.finish(ended)

    bad.refresh_from_db()
    assert bad.status == JobStatus.FAILED
    assert "100 dimensions" in bad.error_message
    images = EntityJob.objects.filter(task_type__in=IMAGE_TASKS).exclude(pk=bad.pk)
    assert set(images.values_list("status", flat=True)) == {JobStatus.COMPLETED}
    assert get_clip_store().count() == 7


def test_what_fails_together_is_tried_alone(queued: list[EntityJob], monkeypatch: pytest.MonkeyPatch) -> None:
    alone: list[object] = []
    monkeypatch.setattr(hints, "send", lambda task, *arguments, **_options: alone.append((task, *arguments)))
    job_ids = [job.job_id or "" for job in queued[:3]]

    give_up(job_ids, RuntimeError("nobody foresaw this"))

    assert alone == [("finish_jobs", [job_id]) for job_id in job_ids]
    assert not EntityJob.objects.filter(status=JobStatus.FAILED).exists()


def test_lost_news_of_a_run_costs_no_attempt(
    pipeline: Pipeline, queued: list[EntityJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(hints, "finish_jobs", told.extend)
    ended = pipeline.run()

    pipeline.processing.sweeper.recover_interrupted()

    assert sorted(told) == sorted(ended)
    assert pipeline.started == []
    assert set(EntityJob.objects.values_list("attempts", flat=True)) == {1}


def test_the_spool_keeps_only_jobs_that_somebody_waits_for(
    pipeline: Pipeline, queued: list[EntityJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processing, "_service", pipeline.processing)
    monkeypatch.setattr(tasks, "SPOOL_KEPT", timedelta(seconds=-1))
    removed = queued[0].entity_id
    gone = [job.job_id or "" for job in queued if job.entity_id == removed]
    Entity.objects.filter(pk=removed).delete()  # and the message that calls its jobs off is lost

    tasks.purge_spool()

    for job_id in gone:
        with pytest.raises(UnknownJobError):
            pipeline.client.get(job_id)
    for job in queued:
        if job.entity_id != removed:
            assert pipeline.client.get(job.job_id or "").state is JobState.QUEUED
