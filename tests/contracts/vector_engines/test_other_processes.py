"""What one process switches and drops, seen from another; and what that costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contracts.vector_engines.points import (
    MODEL,
    OTHER,
    SERVERS,
    random_points,
    vector,
)
from vectors import (
    ModelInUseError,
    ModelMismatchError,
    QdrantVectorStore,
    VectorPoint,
)
from vectors.engines.server import ServerEngine

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


def another_process(store: QdrantVectorStore, chosen: Callable[[], str | None] | None = None) -> Any:
    """With a memory of its own."""
    return QdrantVectorStore(store._engine, store._spec, chosen)


def test_what_is_chosen_is_read_whatever_the_alias_says(store: QdrantVectorStore) -> None:
    chosen: list[str] = []
    reader = another_process(store, lambda: chosen[-1] if chosen else None)
    store.upsert([VectorPoint(1, vector(1)), VectorPoint(2, vector(1))], model=MODEL)
    store.upsert([VectorPoint(1, vector(1)), VectorPoint(3, vector(1))], model=OTHER)
    assert [reader.current_model(), set(reader.fetch([1, 2, 3]))] == [MODEL, {1, 2}]
    chosen.append(OTHER)
    assert [hit.id for hit in reader.search_like(1, limit=9)] == [3]
    assert [hit.id for hit in reader.search(vector(1), model=OTHER, limit=1, exclude_ids=[1])] == [3]
    with pytest.raises(ModelMismatchError):
        reader.search(vector(1), model=MODEL, limit=9)
    with pytest.raises(ModelInUseError):
        reader.drop(OTHER)
    assert [hit.id for hit in reader.search_like(1, limit=9, model=MODEL)] == [2]
    chosen.append("not a vector yet")
    assert [reader.search_like(1, limit=9), reader.count(), reader.fetch([1])] == [None, 0, {}]


def test_a_switch_in_another_process_is_seen_at_once(store: QdrantVectorStore) -> None:
    reader = another_process(store)
    store.upsert([VectorPoint(1, vector(1)), VectorPoint(2, vector(1))], model=MODEL)
    store.upsert([VectorPoint(1, vector(1)), VectorPoint(3, vector(1))], model=OTHER)
    for model, like in ((MODEL, 2), (OTHER, 3), (MODEL, 2)):
        store.switch(model)
        assert [hit.id for hit in reader.search_like(1, limit=9)] == [like]


def test_what_another_process_drops_is_gone_and_never_taken_for_another_models(
    store: QdrantVectorStore,
) -> None:
    reader = another_process(store, lambda: OTHER)
    store.upsert([VectorPoint(1, vector(1)), VectorPoint(2, vector(1))], model=MODEL)
    store.upsert([VectorPoint(1, vector(1)), VectorPoint(3, vector(1))], model=OTHER)
    assert reader.count() == 2
    store.drop(OTHER)
    assert [reader.search_like(1, limit=9), reader.search(vector(1), model=OTHER, limit=9)] == [None, []]
    assert [reader.count(), reader.fetch([1])] == [0, {}]
    store.upsert([VectorPoint(4, vector(1))], model=OTHER)
    assert [reader.count(), set(reader.fetch([1, 4]))] == [1, {4}]


@pytest.mark.parametrize("engine", SERVERS, indirect=True)
def test_a_search_asks_the_server_twice_and_a_write_once(
    engine: ServerEngine, store: QdrantVectorStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = another_process(store, lambda: MODEL)
    for each in (reader, store):
        each.upsert(random_points(5), model=MODEL)
    asked: list[str] = []
    call = engine._call

    def counting(method: Any, *args: Any, **options: Any) -> Any:
        asked.append(method.__name__)
        return call(method, *args, **options)

    monkeypatch.setattr(engine, "_call", counting)
    reader.search_like(1, limit=3)
    assert asked == ["retrieve", "query_batch_points"]
    asked.clear()
    reader.upsert(random_points(5), model=MODEL)
    reader.search(vector(1), model=MODEL, limit=3)
    assert asked == ["upsert", "query_batch_points"]
    asked.clear()
    reader.delete([1])  # must not miss a model that another process has just begun
    assert asked == ["get_collections", "delete"]
