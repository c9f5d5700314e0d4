"""Points come back as they were written, or are refused."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from tests.contracts.vector_engines.points import (
    DIMENSION,
    MODEL,
    OTHER,
    random_points,
    vector,
)
from vectors import (
    DimensionMismatchError,
    Filter,
    InvalidPayloadError,
    InvalidVectorError,
    Match,
    QdrantVectorStore,
    VectorPoint,
)
from vectors.schemas import Payload, Vector
from vectors.store import BATCH

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


def test_vectors_come_back_with_length_one(store: QdrantVectorStore) -> None:
    store.upsert([VectorPoint(1, vector(3, 4)), VectorPoint(2**63 - 1, vector(0, 5))], model=MODEL)
    found = store.fetch([1, 2**63 - 1, 77])
    assert found.keys() == {1, 2**63 - 1}
    assert found[1].dtype == np.float32
    np.testing.assert_allclose(found[1], vector(0.6, 0.8), atol=1e-6)


@pytest.mark.parametrize(
    ("kept", "read"),
    [
        (
            {"known_person_id": None, "md5": "é", "score": 0.5},
            {"known_person_id": None, "md5": "é", "score": 0.5},
        ),
        ({"hidden": True, "ancestor_ids": (3, 4)}, {"hidden": 1, "ancestor_ids": [3, 4]}),
        ({"create_date": datetime(2024, 5, 1, tzinfo=UTC)}, {"create_date": "2024-05-01T00:00:00+00:00"}),
        ({}, {}),
    ],
)
def test_payloads_come_back(store: QdrantVectorStore, kept: Payload, read: Payload) -> None:
    store.upsert([VectorPoint(1, vector(1), kept)], model=MODEL)
    assert store.fetch_points([1])[1].payload == read
    assert [each.payload for each in store.scroll()] == [read]
    assert [hit.payload for hit in store.search(vector(1), model=MODEL, limit=1)] == [read]


def test_an_upsert_replaces_the_point_whole(store: QdrantVectorStore) -> None:
    store.upsert([VectorPoint(1, vector(1), {"md5": "old", "entity_id": 1})], model=MODEL)
    store.upsert([VectorPoint(1, vector(0, 1), {"md5": "new"})], model=MODEL)
    point = store.fetch_points([1])[1]
    assert (point.payload, store.count()) == ({"md5": "new"}, 1)
    np.testing.assert_array_equal(point.vector, vector(0, 1))


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(DIMENSION, dtype=np.float32),
        np.full(DIMENSION, np.nan, dtype=np.float32),
        np.array([np.inf, *[0.0] * (DIMENSION - 1)], dtype=np.float32),
        np.ones((1, DIMENSION), dtype=np.float32),
        np.ones(DIMENSION, dtype=np.int64),
    ],
    ids=["zero", "nan", "infinite", "two axes", "integers"],
)
def test_what_has_no_direction_is_refused_and_its_batch_with_it(
    store: QdrantVectorStore, bad: Vector
) -> None:
    with pytest.raises(InvalidVectorError):
        store.upsert([VectorPoint(1, vector(1)), VectorPoint(2, bad)], model=MODEL)
    assert store.models() == {}


def test_another_dimension_is_refused_by_name(store: QdrantVectorStore) -> None:
    too_long = np.ones(DIMENSION + 1, dtype=np.float32)
    with pytest.raises(DimensionMismatchError, match=r"has 9 dimensions, but test-.* has 8"):
        store.upsert([VectorPoint(1, too_long)], model=MODEL)
    store.upsert([VectorPoint(1, vector(1))], model=MODEL)
    with pytest.raises(DimensionMismatchError, match="has 9 dimensions"):
        store.search(too_long, model=MODEL, limit=1)


@pytest.mark.parametrize("id", [-1, 2**63])
def test_ids_are_those_of_a_database(store: QdrantVectorStore, id: int) -> None:
    with pytest.raises(InvalidVectorError, match="ids are from 0"):
        store.upsert([VectorPoint(id, vector(1))], model=MODEL)


def test_set_payload_keeps_the_other_keys(store: QdrantVectorStore) -> None:
    store.upsert(
        [VectorPoint(key, vector(1), {"entity_id": key, "md5": "a"}) for key in (1, 2, 3)], model=MODEL
    )
    store.set_payload([1, 404], {"hidden": True})
    store.set_payload(Filter(must=(Match("entity_id", 3),)), {"md5": "b"})
    assert {each.id: each.payload for each in store.scroll()} == {
        1: {"entity_id": 1, "md5": "a", "hidden": 1},
        2: {"entity_id": 2, "md5": "a"},
        3: {"entity_id": 3, "md5": "b"},
    }


def test_many_payloads_are_changed_each_in_its_own_way(store: QdrantVectorStore) -> None:
    number = BATCH + 3
    store.upsert([VectorPoint(key, vector(1), {"entity_id": key}) for key in range(number)], model=MODEL)
    store.upsert([VectorPoint(1, vector(1))], model=OTHER)
    store.set_payloads(([key], {"seen": key}) for key in range(number))
    store.set_payloads([([0, 1], {"seen": -1}), ([1], {"seen": -2})])  # one after the other
    store.set_payloads([])
    assert {each.id: each.payload["seen"] for each in store.scroll()} == {
        **{key: key for key in range(number)},
        0: -1,
        1: -2,
    }
    assert [each.payload for each in store.scroll(model=OTHER)] == [{"seen": -2}]


def test_deleting(store: QdrantVectorStore) -> None:
    store.upsert(random_points(1000), model=MODEL)
    store.delete(range(500, 2000))
    store.delete_of_entities([1, 2])
    store.delete_by(Filter(must=(Match("entity_id", 3),)))
    assert {each.id for each in store.scroll()} == {key for key in range(500) if key % 10 not in {1, 2, 3}}


def test_a_filter_without_conditions_changes_nothing(store: QdrantVectorStore) -> None:
    store.upsert(random_points(3), model=MODEL)
    with pytest.raises(InvalidPayloadError):
        store.delete_by(Filter())
    with pytest.raises(InvalidPayloadError):
        store.set_payload(Filter(), {"hidden": True})
    assert store.count() == 3


def test_scrolling_meets_every_point_once_by_rising_id(store: QdrantVectorStore) -> None:
    store.upsert(reversed(random_points(1000)), model=MODEL)
    assert [each.id for each in store.scroll(batch=7)] == list(range(1000))
    assert [each.id for each in store.scroll(Filter(must=(Match("entity_id", 4),)), batch=100)] == list(
        range(4, 1000, 10)
    )


def test_an_empty_store_answers(store: QdrantVectorStore) -> None:
    assert (store.models(), store.current_model(), store.count(), store.fetch([1])) == ({}, None, 0, {})
    assert (list(store.scroll()), store.search(vector(1), model=MODEL, limit=3)) == ([], [])
    assert store.search_like(1, limit=3) is None
    store.delete([1])
    store.set_payload([1], {"hidden": True})
    store.upsert([], model=MODEL)
    assert store.models() == {}


def test_ids_of_a_span(store: QdrantVectorStore) -> None:
    store.upsert(random_points(100), model=MODEL)
    assert list(store.ids(after=10, last=15)) == [11, 12, 13, 14, 15]
    assert list(store.ids(after=-1, last=None, batch=7)) == list(range(100))
    assert list(store.ids(after=97, last=1000, model=MODEL)) == [98, 99]
    assert list(store.ids(after=99, last=None)) == []
