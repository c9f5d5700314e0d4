"""Searches: the nearest first, and only those that were asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from tests.contracts.vector_engines.points import (
    MODEL,
    random_points,
    random_vectors,
    vector,
)
from vectors import (
    DatetimeRange,
    Filter,
    HasId,
    Match,
    MatchAny,
    QdrantVectorStore,
    Range,
    VectorPoint,
)
from vectors.schemas import Condition, Payload
from vectors.store import SEARCHES

pytestmark = pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")


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


def test_several_are_searched_for_at_once(store: QdrantVectorStore) -> None:
    number = SEARCHES + 3
    store.upsert([VectorPoint(key, vector(1, key), {"entity_id": key}) for key in range(number)], model=MODEL)
    seen = Filter(must=(Range(key="entity_id", gte=1),))
    found = store.search_like_each([*range(number), 404], limit=2, filter=seen, score_threshold=0.1)
    each = {
        key: store.search_like(key, limit=2, filter=seen, score_threshold=0.1) or [] for key in range(number)
    }
    assert {key: [(hit.id, hit.score) for hit in hits] for key, hits in found.items()} == {
        key: [(hit.id, hit.score) for hit in hits] for key, hits in each.items()
    }
    assert len({tuple(hit.id for hit in hits) for hits in found.values()}) > number // 2
    assert not any(hit.payload for hits in found.values() for hit in hits)
    assert store.search_like_each([404], limit=2) == {}


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
