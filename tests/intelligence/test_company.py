"""Where much waits, and some model gains by it, a worker looks at a few images together."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from django.db.models import F

from intelligence import hints, runs
from intelligence.compute.base import RunDiedError
from intelligence.compute.fake import FakeComputeClient
from intelligence.models import EntityJob
from intelligence.vocabulary import JobStatus
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline

pytestmark = pytest.mark.django_db(transaction=True)

IMAGES = 8


@pytest.fixture
def queued(pipeline: Pipeline) -> list[list[str]]:
    """The jobs of eight images, by image."""
    for seed in range(IMAGES):
        make_photo(seed)
    pipeline.reconcile()
    pipeline.dispatch()
    of: dict[int, list[str]] = {}
    for job in EntityJob.objects.order_by("pk"):
        of.setdefault(job.entity_id, []).append(job.job_id or "")
    return list(of.values())


@pytest.fixture
def ran(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What the client was given together; it gains by four images, and there are two workers."""
    calls: list[list[str]] = []
    run = pipeline.client.run

    def watched(job_ids: Sequence[str]) -> tuple[str, ...]:
        calls.append(list(job_ids))
        return run(job_ids)

    monkeypatch.setattr(pipeline.client, "run", watched)
    monkeypatch.setattr(FakeComputeClient, "images_together", 4)
    monkeypatch.setattr(runs, "WORKERS", 2)
    monkeypatch.setattr(runs, "QUICK_SECONDS", 60.0)
    return calls


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    ended: list[str] = []
    monkeypatch.setattr(hints, "finish_jobs", ended.extend)
    return ended


def status(of_image: Sequence[str]) -> set[str]:
    return set(EntityJob.objects.filter(job_id__in=of_image).values_list("status", flat=True))


def joined(images: Sequence[Sequence[str]]) -> list[str]:
    return [job_id for of_image in images for job_id in of_image]


def sorted_ids(images: Sequence[Sequence[str]]) -> list[str]:
    return sorted(joined(images))


def test_an_image_takes_a_few_along_that_wait(
    pipeline: Pipeline, queued: list[list[str]], ran: list[list[str]], told: list[str]
) -> None:
    make_photo(IMAGES)  # so that eight more wait
    pipeline.reconcile()
    pipeline.dispatch()

    runs.run(pipeline.client, queued[0])

    assert [sorted(job_ids) for job_ids in ran] == [sorted_ids(queued[:4])]
    assert sorted(told) == sorted_ids(queued[:4])
    assert status(joined(queued[4:])) == {JobStatus.QUEUED}
    runs.run(pipeline.client, queued[1])  # their own messages come, too
    assert len(ran) == 1


def test_with_less_to_do_whoever_is_free_takes_each(
    pipeline: Pipeline, queued: list[list[str]], ran: list[list[str]], told: list[str]
) -> None:
    runs.run(pipeline.client, queued[0])

    assert ran == [queued[0]]
    assert sorted(told) == sorted(queued[0])


def test_where_no_model_gains_by_it_each_is_alone(
    pipeline: Pipeline, queued: list[list[str]], ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeComputeClient, "images_together", 1)
    monkeypatch.setattr(runs, "WORKERS", 1)

    runs.run(pipeline.client, joined(queued))

    assert ran == queued


def test_one_message_of_many_is_taken_a_few_at_a_time(
    pipeline: Pipeline, queued: list[list[str]], ran: list[list[str]]
) -> None:
    runs.run(pipeline.client, joined(queued))

    assert ran == [queued[0], joined(queued[1:5]), joined(queued[5:])]


def test_whose_run_has_died_is_in_nobodys_company(
    pipeline: Pipeline, queued: list[list[str]], ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "WORKERS", 1)
    EntityJob.objects.filter(job_id__in=queued[1]).update(attempts=F("attempts") + 1)

    runs.run(pipeline.client, queued[0])
    assert sorted(ran.pop()) == sorted_ids([queued[0], *queued[2:5]])

    runs.run(pipeline.client, queued[1])
    assert ran.pop() == queued[1]


def test_nor_takes_any_along(
    pipeline: Pipeline, queued: list[list[str]], ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "WORKERS", 1)
    EntityJob.objects.filter(job_id__in=queued[0]).update(attempts=F("attempts") + 1)

    runs.run(pipeline.client, queued[0])

    assert queued[0] in ran
    assert all(not set(queued[0]) & set(other) for other in ran if other != queued[0])


def test_jobs_of_another_client_are_left_to_it(
    pipeline: Pipeline, queued: list[list[str]], ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "WORKERS", 1)
    EntityJob.objects.filter(job_id__in=joined(queued[1:3])).update(backend="remote")

    runs.run(pipeline.client, queued[0])

    assert sorted(ran[0]) == sorted_ids([queued[0], *queued[3:6]])


def test_those_that_died_together_are_looked_at_alone(
    pipeline: Pipeline, queued: list[list[str]], ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of them it was: it dies again, and the others do not."""
    monkeypatch.setattr(runs, "WORKERS", 1)
    asked: list[list[str]] = []
    monkeypatch.setattr(hints, "infer", asked.append)

    def dies(job_ids: Sequence[str]) -> tuple[str, ...]:
        raise RunDiedError("The process that looked at the image died.", job_ids)

    monkeypatch.setattr(pipeline.client, "run", dies)

    runs.run(pipeline.client, queued[0])

    assert sorted(sorted(each) for each in asked) == sorted(sorted(each) for each in queued[:4])
    assert status(joined(queued[:4])) == {JobStatus.QUEUED}
