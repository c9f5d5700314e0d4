"""Vectors of several models in one store."""

from __future__ import annotations

import numpy as np
import pytest

from tests.contracts.vector_engines.points import (
    DIMENSION,
    MODEL,
    OTHER,
    vector,
)
from vectors import (
    DimensionMismatchError,
    Filter,
    Match,
    ModelInUseError,
    ModelMismatchError,
    QdrantVectorStore,
    UnknownModelError,
    VectorPoint,
)
from vectors.engines.base import VectorEngine

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


def test_vectors_of_two_models_are_never_compared(store: QdrantVectorStore) -> None:
    store.upsert([VectorPoint(1, vector(1))], model=MODEL)
    store.upsert([VectorPoint(2, vector(1))], model=OTHER)
    assert store.models() == {MODEL: DIMENSION, OTHER: DIMENSION}
    assert [hit.id for hit in store.search(vector(1), model=MODEL, limit=9)] == [1]
    with pytest.raises(ModelMismatchError, match=MODEL):
        store.search(vector(1), model=OTHER, limit=9)
    assert (store.search_like(1, limit=9), store.search_like(2, limit=9)) == ([], None)


def test_switching_changes_what_is_read(store: QdrantVectorStore) -> None:
    store.upsert([VectorPoint(1, vector(1))], model=MODEL)
    store.upsert([VectorPoint(2, vector(1)), VectorPoint(3, vector(1))], model=OTHER)
    assert (store.current_model(), store.count(), store.count(model=OTHER)) == (MODEL, 1, 2)
    store.switch(OTHER)
    assert (store.current_model(), store.count(), set(store.fetch([1, 2]))) == (OTHER, 2, {2})
    assert [hit.id for hit in store.search(vector(1), model=OTHER, limit=1, exclude_ids=[2])] == [3]
    store.switch(MODEL)
    assert [each.id for each in store.scroll()] == [1]


def test_writes_that_name_no_model_reach_all_of_them(store: QdrantVectorStore) -> None:
    for model in (MODEL, OTHER):
        store.upsert([VectorPoint(key, vector(1), {"entity_id": key}) for key in range(5)], model=model)
    store.delete([0])
    store.delete_of_entities([1])
    store.delete_by(Filter(must=(Match("entity_id", 2),)))
    store.set_payload([3], {"hidden": True})
    for model in (MODEL, OTHER):
        assert {each.id: each.payload.get("hidden") for each in store.scroll(model=model)} == {3: 1, 4: None}


def test_dropping_a_model(store: QdrantVectorStore) -> None:
    store.upsert([VectorPoint(1, vector(1))], model=MODEL)
    store.upsert([VectorPoint(1, vector(1))], model=OTHER)
    with pytest.raises(ModelInUseError, match="switch first"):
        store.drop(MODEL)
    store.drop(OTHER)
    assert store.models() == {MODEL: DIMENSION}
    for change in (store.drop, store.switch):
        with pytest.raises(UnknownModelError):
            change(OTHER)
    store.upsert([VectorPoint(2, vector(1))], model=OTHER)
    assert [each.id for each in store.scroll(model=OTHER)] == [2]


def test_a_model_may_have_a_dimension_of_its_own(engine: VectorEngine, store: QdrantVectorStore) -> None:
    store.upsert([VectorPoint(1, vector(1))], model=MODEL)
    told = QdrantVectorStore(engine, store._spec, dimension_of={OTHER: DIMENSION * 2}.get)
    long = np.ones(DIMENSION * 2, dtype=np.float32)
    with pytest.raises(DimensionMismatchError):
        told.upsert([VectorPoint(1, vector(1))], model=OTHER)
    told.upsert([VectorPoint(1, long)], model=OTHER)
    told.upsert([VectorPoint(2, vector(1))], model=MODEL)
    assert told.models() == {MODEL: DIMENSION, OTHER: DIMENSION * 2}
    store.upsert([VectorPoint(3, long)], model=OTHER)  # its collection is there now, and says it
    store.switch(OTHER)
    assert {hit.id for hit in store.search(long, model=OTHER, limit=9)} == {1, 3}
    with pytest.raises(DimensionMismatchError):
        store.search(vector(1), model=OTHER, limit=1)


def test_a_model_without_vectors_has_none_to_read(store: QdrantVectorStore) -> None:
    store.upsert([VectorPoint(1, vector(1))], model=MODEL)
    assert [store.count(model=OTHER), store.fetch([1], model=OTHER), list(store.scroll(model=OTHER))] == [
        0,
        {},
        [],
    ]
    assert [store.search_like(1, limit=1, model=OTHER), list(store.ids(after=0, last=None, model=OTHER))] == [
        None,
        [],
    ]
