"""`manage.py reembed` and `manage.py vectors`: what they say, what they do, how they end."""

from __future__ import annotations

import json
import threading
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from intelligence import errand_notes, errands, processing
from intelligence.models import EntityJob, VectorErrand
from intelligence.vocabulary import TaskType
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline
from vectors import QdrantVectorStore, VectorsInUseError, get_clip_store

pytestmark = pytest.mark.django_db(transaction=True)

OLD, NEW = "fake-clip-512", "fake2-clip-512"


@pytest.fixture(autouse=True)
def _commands_work_on(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processing, "_service", pipeline.processing)


def run(*arguments: object) -> str:
    out = StringIO()
    call_command(*map(str, arguments), stdout=out, stderr=out)
    return out.getvalue()


def reembed(*arguments: object) -> str:
    return run("reembed", "--task", "clip", "--by", "Ada", *arguments)


def photos(pipeline: Pipeline, number: int = 4) -> list[int]:
    made = [make_photo(seed).pk for seed in range(number)]
    pipeline.work()
    return made


def fails(code: int, *arguments: object) -> str:
    with pytest.raises(CommandError) as raised:
        run(*arguments)
    assert raised.value.returncode == code
    return str(raised.value)


def test_from_one_model_to_the_other_and_back(pipeline: Pipeline) -> None:
    made = photos(pipeline)
    assert "filled in the background" in reembed("--model", NEW)
    assert f"{NEW} (filling), 0 of 4 vectors" in reembed("--status")
    assert "lacks 4 of 4" in fails(1, "reembed", "--task", "clip", "--switch")
    pipeline.work()
    assert f"model of clip_embedding: {NEW} (filling), 4 of 4 vectors" in run("intelligence", "status")

    assert f"read {NEW}" in reembed("--switch")
    assert (get_clip_store().current_model(), get_clip_store().alias_model()) == (NEW, NEW)
    assert f"read {OLD} again" in reembed("--rollback")
    assert get_clip_store().current_model() == OLD

    assert "4 vectors of fake2-clip-512 would go" in reembed("--drop", "--dry-run")
    assert set(get_clip_store().models()) == {OLD, NEW}
    reembed("--drop")
    assert get_clip_store().models() == {OLD: 512}
    assert set(get_clip_store().fetch(made)) == set(made)

    told = json.loads(run("reembed", "--status", "--task", "clip", "--json"))
    assert [each["model"] for each in told["models"]] == [OLD]
    assert told["events"][-1].endswith(f"{NEW} became dropped by Ada")


def test_what_compute_does_not_offer_is_refused(pipeline: Pipeline) -> None:
    photos(pipeline)
    assert f"only {OLD}, {NEW}" in fails(1, "reembed", "--task", "clip", "--model", "nobody's")


@pytest.mark.parametrize(
    "wrong", [("--switch",), ("--task", "clip", "--compare", "--sample", "0")], ids=["no task", "no sample"]
)
def test_bad_usage(wrong: tuple[str, ...]) -> None:
    fails(2, "reembed", *wrong)


def test_comparing(pipeline: Pipeline) -> None:
    made = photos(pipeline, 6)
    assert "no second model" in fails(3, "reembed", "--task", "clip", "--compare")
    reembed("--model", NEW)
    pipeline.work()
    told = json.loads(reembed("--compare", "--json", "--neighbours", 5))
    assert (told["compared"], told["overlap"]) == (6, 1.0)  # all the others, by both
    assert told["current_score"] < told["other_score"]  # the second has no negative components
    store = get_clip_store()
    nearest = {pk: [_best(store, pk, model) for model in (OLD, NEW)] for pk in made}
    same = sum(mine == others for mine, others in nearest.values())
    assert 0 < same < len(made) == 6
    told = json.loads(reembed("--compare", "--json", "--neighbours", 1))
    assert told["overlap"] == pytest.approx(same / 6)
    one = next(pk for pk, (mine, others) in nearest.items() if mine == others)
    assert json.loads(reembed("--compare", "--json", "--neighbours", 1, "--entity", one))["overlap"] == 1


def _best(store: QdrantVectorStore, pk: int, model: str) -> int:
    hits = store.search_like(pk, limit=1, model=model)
    assert hits
    return hits[0].id


def test_status_and_rebuild(pipeline: Pipeline) -> None:
    made = photos(pipeline)
    assert "4 vectors, 0 lost" in run("vectors", "status", "--task", "clip")
    get_clip_store().delete(made[:2])
    assert "rebuild" in fails(1, "vectors", "status")
    assert "2 vectors, 2 lost" in run("vectors", "rebuild", "--task", "clip", "--dry-run")
    assert pipeline.dispatch() == 0
    assert "2 lost, 2 asked for again" in run("vectors", "rebuild", "--task", "clip")
    pipeline.work()
    assert json.loads(run("vectors", "status", "--json", "--task", "clip"))[0]["vectors"] == 4


# --- Where the store has the vectors open ---


@pytest.fixture
def in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the calling thread only: the store's own threads look as ever."""
    count, mine = QdrantVectorStore.ids, threading.current_thread()

    def ids(*arguments: Any, **options: Any) -> Any:
        if threading.current_thread() is mine:
            raise VectorsInUseError("They are in use by another process.")
        return count(*arguments, **options)

    monkeypatch.setattr(QdrantVectorStore, "ids", ids)


def a_worker() -> threading.Thread:
    def work() -> None:
        while not errands.run_waiting():
            threading.Event().wait(0.02)
        connections.close_all()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_worker_of_the_store_looks_instead(pipeline: Pipeline, in_use: None) -> None:
    made = photos(pipeline)
    get_clip_store().delete(made[:1])
    worker = a_worker()
    assert "3 vectors, 1 lost, 1 asked for again" in run("vectors", "rebuild", "--task", "clip")
    worker.join()
    assert not VectorErrand.objects.exists()
    assert EntityJob.objects.filter(task_type=TaskType.CLIP_EMBEDDING, status="discarded").count() == 1


def test_what_fails_there_is_told_here(pipeline: Pipeline, in_use: None) -> None:
    photos(pipeline)
    worker = a_worker()
    with pytest.raises(errand_notes.ErrandError, match="bird"):
        errand_notes.leave("check", {"tasks": ["bird"]}, wait_seconds=30)
    worker.join()


def test_where_no_worker_answers_either_the_command_says_so(
    pipeline: Pipeline, in_use: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos(pipeline)
    monkeypatch.setattr(errand_notes, "UNTAKEN_SECONDS", 0.1)
    assert "none of its workers answers" in fails(3, "vectors", "status")
    assert not VectorErrand.objects.exists()
