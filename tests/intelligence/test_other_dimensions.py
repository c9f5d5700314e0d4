"""From a model to one of another dimension, over both engines: filled, compared, switched, back, dropped."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from rest_framework.test import APIClient

from intelligence import comparison, hints, model_versions
from intelligence.models import Face, ModelVersion
from intelligence.vocabulary import TaskType
from tests.factories import jpeg, make_photo
from tests.intelligence.pipeline import Pipeline
from vectors import Hit, get_clip_store, get_dino_store, get_face_store
from vectors.schemas import Query

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant"),
]

CLIP = TaskType.CLIP_EMBEDDING
OLD, WIDE = "fake-clip-512", "fake3-clip-768"
STORES = {
    TaskType.CLIP_EMBEDDING: get_clip_store,
    TaskType.DINO_EMBEDDING: get_dino_store,
    TaskType.FACE_EMBEDDING: get_face_store,
}
MODELS = {
    TaskType.CLIP_EMBEDDING: {OLD: 512, WIDE: 768},
    TaskType.DINO_EMBEDDING: {"fake-dino-384": 384, "fake3-dino-576": 576},
    TaskType.FACE_EMBEDDING: {"fake-face-512": 512, "fake3-face-768": 768},
}


@pytest.fixture
def guest() -> APIClient:
    return APIClient()


@pytest.fixture
def worker(each_engine: None, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """Answers at once what searches ask."""
    monkeypatch.setattr(hints, "encode", pipeline.processing.encoder.encode)
    pipeline.processing.encoder.tell_capabilities()
    return pipeline


def photos(worker: Pipeline, number: int = 4) -> set[int]:
    made = {make_photo(seed).pk for seed in range(number)}
    worker.work()
    return made


def fill(worker: Pipeline, task: TaskType, model: str) -> None:
    worker.processing.jobs.models.begin(task, model, by="Ada")
    worker.work()


@pytest.mark.parametrize("task", MODELS)
def test_there_and_back(worker: Pipeline, task: TaskType) -> None:
    made = photos(worker)
    subjects = set(Face.objects.values_list("pk", flat=True)) if task is TaskType.FACE_EMBEDDING else made
    store, (old, new) = STORES[task](), MODELS[task]
    fill(worker, task, new)
    assert store.models() == MODELS[task]
    assert dict(ModelVersion.objects.filter(task_type=task).values_list("model", "dimension")) == MODELS[task]
    assert {each.id for each in store.scroll(model=new)} == subjects
    assert comparison.compare(worker.processing.jobs.models, task).compared == len(subjects)

    for change, model in (
        (model_versions.switch, new),
        (model_versions.roll_back, old),
        (model_versions.switch, new),
    ):
        change(task, by="Ada")
        worker.processing.audit.follow_changes()
        assert (store.current_model(), store.alias_model()) == (model, model)
        assert {len(vector) for vector in store.fetch(subjects).values()} == {MODELS[task][model]}
        assert {hit.id for hit in store.search_like(min(subjects), limit=50) or ()} < subjects

    model_versions.drop(task, by="Ada")
    worker.processing.audit.sweep()
    assert store.models() == {new: MODELS[task][new]}
    assert {each.id for each in store.scroll()} == subjects


@pytest.mark.parametrize("how", ["text", "picture", "entity", "similar"])
def test_readers_follow_with_their_query_vectors(worker: Pipeline, guest: APIClient, how: str) -> None:
    made = photos(worker)
    fill(worker, CLIP, WIDE)
    one = min(made)

    def ask() -> Any:
        if how == "picture":
            picture = SimpleUploadedFile("any.jpg", jpeg(0))
            return guest.post("/intelligence/search", {"image": picture}, format="multipart")
        if how == "similar":
            path = f"/intelligence/entities/{one}/similar"
            return guest.get(path, {"score_threshold": 0, "limit": 50})
        return guest.get("/intelligence/search", {how: "a dog" if how == "text" else str(one)})

    expected = made if how in ("text", "picture") else made - {one}
    for change, model in ((model_versions.switch, WIDE), (model_versions.roll_back, OLD)):
        change(CLIP, by="Ada")
        answer = ask()
        assert answer.status_code == 200, answer.content
        results = answer.json()["results"]
        assert {hit["entity_id"] for hit in results} <= expected
        if how != "similar":
            assert {hit["entity_id"] for hit in results} == expected
            assert {why["model"] for hit in results for why in hit["why"]} == {model}


def test_a_search_that_a_switch_overtakes_is_asked_again(
    worker: Pipeline, guest: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its words were read by the model before; they are read by the new one, and nobody notices."""
    made = photos(worker)
    fill(worker, CLIP, WIDE)
    asked: list[Sequence[str]] = []

    def answer_and_switch(keys: Sequence[str]) -> None:
        worker.processing.encoder.encode(keys)
        if not asked:
            model_versions.switch(CLIP, by="Ada")
        asked.append(keys)

    monkeypatch.setattr(hints, "encode", answer_and_switch)
    answer = guest.get("/intelligence/search", {"text": "a dog"})
    assert answer.status_code == 200, answer.content
    assert len(asked) == 2
    assert {hit["entity_id"] for hit in answer.json()["results"]} == made
    assert {why["model"] for hit in answer.json()["results"] for why in hit["why"]} == {WIDE}


def test_searches_in_flight_during_switches(worker: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine never gets a vector for a collection of another dimension, and no search goes unanswered."""
    made = photos(worker)
    fill(worker, CLIP, WIDE)
    compared = _watched(monkeypatch)
    is_over = threading.Event()

    def look() -> set[tuple[int, int]]:
        """The statuses of answers, with how many hits were in them."""
        seen, guest = set(), APIClient()
        while not is_over.is_set():
            for query in ({"text": "a dog"}, {"entity": min(made)}):
                answer = guest.get("/intelligence/search", query)
                seen.add((answer.status_code, len(answer.json().get("results", ())) + ("entity" in query)))
        connections.close_all()
        return seen

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        try:
            for _ in range(15):
                model_versions.switch(CLIP, by="Ada")
                is_over.wait(0.1)
                model_versions.roll_back(CLIP, by="Ada")
                is_over.wait(0.1)
        finally:
            is_over.set()
    assert [each.result() for each in looking] == [{(200, len(made))}] * 2
    assert set(compared) == {(512, 512), (768, 768)}


def _watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The dimensions of what the engine compares: of the collection by its name, and of the vector."""
    compared: list[tuple[int, int]] = []
    engine = get_clip_store()._engine
    search = engine.search

    def watching(collection: str, queries: Sequence[Query], **options: Any) -> list[list[Hit]]:
        dimension = int(collection.rpartition("__")[2])
        compared.extend((dimension, len(query.vector)) for query in queries)
        return search(collection, queries, **options)

    monkeypatch.setattr(engine, "search", watching)
    return compared
