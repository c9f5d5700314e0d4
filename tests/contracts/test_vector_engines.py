"""Every operation on every engine, with the same body.

The server's side speaks HTTP to qdrant-client's own in-memory mode; where QDRANT_TEST_URL is set, to a real
server too.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from tests import qdrant_service
from vectors import (
    DatetimeRange,
    DimensionMismatchError,
    Filter,
    HasId,
    InvalidPayloadError,
    InvalidVectorError,
    Match,
    MatchAny,
    ModelInUseError,
    ModelMismatchError,
    QdrantVectorStore,
    Range,
    UnknownModelError,
    VectorPoint,
)
from vectors.collections import CollectionSpec, IndexType
from vectors.engines.base import VectorEngine
from vectors.engines.edge import EdgeEngine
from vectors.engines.server import ServerEngine
from vectors.schemas import Condition, Payload, Vector

DIMENSION = 8
MODEL = "org/model-a"
OTHER = "org=2Fmodel-a"  # what a careless escape would make of the first
INDEXES = {
    "entity_id": IndexType.INTEGER,
    "md5": IndexType.KEYWORD,
    "ancestor_ids": IndexType.INTEGER,
    "create_date": IndexType.DATETIME,
}

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


SERVERS = ["http", *(["server"] if qdrant_service.REAL else [])]


@pytest.fixture(params=["edge", *SERVERS])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorEngine]:
    engine: VectorEngine
    if request.param == "edge":
        engine = EdgeEngine(tmp_path)
    else:
        request.getfixturevalue("socket_enabled")
        url = qdrant_service.REAL if request.param == "server" else request.getfixturevalue("qdrant_url")
        engine = ServerEngine(QdrantClient(url=url, check_compatibility=False))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def qdrant_url() -> Iterator[str]:
    with qdrant_service.running() as url:
        yield url


@pytest.fixture
def store(engine: VectorEngine) -> Iterator[QdrantVectorStore]:
    name = f"test-{uuid.uuid4().hex}"
    yield QdrantVectorStore(engine, CollectionSpec(name, DIMENSION, INDEXES))
    for collection in list(engine.collections()):
        if collection.startswith(name):
            engine.drop(collection)


def vector(*components: float) -> Vector:
    return np.array([*components, *[0.0] * (DIMENSION - len(components))], dtype=np.float32)


def random_vectors(count: int, seed: int = 0) -> Vector:
    return np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)


def random_points(count: int, seed: int = 0) -> list[VectorPoint]:
    return [
        VectorPoint(number, row, {"entity_id": number % 10})
        for number, row in enumerate(random_vectors(count, seed))
    ]


# --- Points ---


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


# --- Searching ---


def test_search_is_nearest_first_by_cosine(store: QdrantVectorStore) -> None:
    points = random_points(300)
    store.upsert(points, model=MODEL)
    query = random_vectors(1, seed=1)[0]
    rows = np.stack([point.vector for point in points])
    cosines = rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    hits = store.search(query, model=MODEL, limit=10)
    assert [hit.id for hit in hits] == np.argsort(-cosines)[:10].tolist()
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(cosines)[::-1][:10], atol=1e-5)


def test_scores_reach_from_minus_one_to_one_and_not_beyond(store: QdrantVectorStore) -> None:
    rows = random_vectors(200)
    store.upsert([VectorPoint(1, rows[0]), VectorPoint(2, -rows[0])], model=MODEL)
    same, opposite = store.search(rows[0], model=MODEL, limit=2)
    assert [same.score, opposite.score] == pytest.approx([1, -1])
    for number, row in enumerate(rows):
        store.upsert([VectorPoint(number, row)], model=MODEL)
        assert store.search(row, model=MODEL, limit=1)[0].score <= 1


def test_threshold_filter_and_exclusion(store: QdrantVectorStore) -> None:
    near = [VectorPoint(key, vector(1, key / 10), {"entity_id": key}) for key in range(5)]
    store.upsert([*near, VectorPoint(9, vector(-1))], model=MODEL)
    hits = store.search(vector(1), model=MODEL, limit=9, score_threshold=0.9)
    assert [hit.id for hit in hits] == [0, 1, 2, 3, 4]
    hits = store.search(
        vector(1),
        model=MODEL,
        limit=2,
        filter=Filter(must=(Range(key="entity_id", gte=1),)),
        exclude_ids=[2],
    )
    assert [hit.id for hit in hits] == [1, 3]


def test_search_like_leaves_the_item_out(store: QdrantVectorStore) -> None:
    store.upsert([VectorPoint(key, vector(1, key / 10)) for key in range(5)], model=MODEL)
    hits = store.search_like(2, limit=2, exclude_ids=[1])
    assert hits is not None
    assert [hit.id for hit in hits] == [3, 4]
    assert store.search_like(404, limit=2) is None


FILTERED: dict[str, tuple[Condition, set[int]]] = {
    "keyword": (Match("md5", "b"), {2, 3}),
    "integer": (Match("entity_id", 20), {2}),
    "boolean": (Match("hidden", True), {3}),  # noqa: FBT003 - what is tested
    "item of a list": (Match("ancestor_ids", 7), {1, 2}),
    "any keyword": (MatchAny("md5", ("a", "x")), {1}),
    "any integer": (MatchAny("entity_id", (10, 30)), {1, 3}),
    "any of nothing": (MatchAny("entity_id", ()), set()),
    "range": (Range(key="entity_id", gt=10, lte=30), {2, 3}),
    "range of a key without index": (Range(key="quality", gte=0.5), {1, 3}),
    "dates": (
        DatetimeRange(
            key="create_date", gte=datetime(2024, 1, 1, tzinfo=UTC), lt=datetime(2025, 1, 1, tzinfo=UTC)
        ),
        {2},
    ),
    "ids": (HasId(frozenset({1, 3, 404})), {1, 3}),
    "unknown key": (Match("nowhere", 1), set()),
}


@pytest.mark.parametrize(("condition", "expected"), FILTERED.values(), ids=FILTERED)
def test_filters(store: QdrantVectorStore, condition: Condition, expected: set[int]) -> None:
    payloads: dict[int, Payload] = {
        1: {
            "entity_id": 10,
            "md5": "a",
            "hidden": False,
            "ancestor_ids": [7],
            "quality": 0.75,
            "create_date": datetime(2023, 12, 31, tzinfo=UTC),
        },
        2: {
            "entity_id": 20,
            "md5": "b",
            "hidden": False,
            "ancestor_ids": [5, 7],
            "create_date": datetime(2024, 1, 1, tzinfo=UTC),
        },
        3: {"entity_id": 30, "md5": "b", "hidden": True, "ancestor_ids": [], "quality": 0.5},
    }
    store.upsert([VectorPoint(key, vector(1), payload) for key, payload in payloads.items()], model=MODEL)
    must, must_not = Filter(must=(condition,)), Filter(must_not=(condition,))
    assert {hit.id for hit in store.search(vector(1), model=MODEL, limit=9, filter=must)} == expected
    assert {hit.id for hit in store.search(vector(1), model=MODEL, limit=9, filter=must_not)} == {
        1,
        2,
        3,
    } - expected
    assert (store.count(must), store.count(must_not)) == (len(expected), 3 - len(expected))
    store.set_payload(must, {"seen": 1})
    assert {each.id for each in store.scroll() if "seen" in each.payload} == expected
    store.delete_by(must)
    assert {each.id for each in store.scroll()} == {1, 2, 3} - expected


# --- Models ---


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


# --- Models, seen from several processes ---


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


def test_ids_of_a_span(store: QdrantVectorStore) -> None:
    store.upsert(random_points(100), model=MODEL)
    assert list(store.ids(after=10, last=15)) == [11, 12, 13, 14, 15]
    assert list(store.ids(after=-1, last=None, batch=7)) == list(range(100))
    assert list(store.ids(after=97, last=1000, model=MODEL)) == [98, 99]
    assert list(store.ids(after=99, last=None)) == []


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
    assert asked == ["retrieve", "query_points"]
    asked.clear()
    reader.upsert(random_points(5), model=MODEL)
    reader.search(vector(1), model=MODEL, limit=3)
    assert asked == ["upsert", "query_points"]
    asked.clear()
    reader.delete([1])  # must not miss a model that another process has just begun
    assert asked == ["get_collections", "delete"]


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
