"""Among the points that a filter keeps, the search index finds the nearest, whether they are few or many."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.vectors.conftest import DIMENSION, MODEL, SPEC, OpenEdge, points, store_on
from tests.vectors.test_edge import wait_until
from vectors import Filter, Match, VectorPoint
from vectors.collections import ModelCollection

NAME = ModelCollection(SPEC.name, MODEL, DIMENSION).physical_name
POINTS, ONE_IN = 20_000, 6
NEAREST, ASKED = 10, 20


def test_few_are_compared_one_by_one(open_edge: OpenEdge, tmp_path: Path) -> None:
    """What few are, the engine is told with each index: a tenth of the points, as so many kilobytes. What it
    is good for shows among a million only: benchmarks/search.py.
    """
    store = store_on(engine := open_edge(flush_seconds=0.02, index_after=8000))
    told = []
    for grown in (8000, 16_000):
        store.upsert(points(range(grown)), model=MODEL)
        wait_until(lambda: engine.is_indexed(NAME))
        (config,) = tmp_path.glob("edge/*/edge_config.json")
        told.append(json.loads(config.read_text())["hnsw_config"]["full_scan_threshold"])
    assert told == [800 * DIMENSION * 4 // 1024, 1600 * DIMENSION * 4 // 1024]


def test_many_are_found_through_those_that_are_not_kept(open_edge: OpenEdge) -> None:
    store = store_on(engine := open_edge(flush_seconds=0.02, index_after=POINTS))
    generator = np.random.default_rng(0)
    rows, queries = (
        generator.standard_normal((number, DIMENSION), dtype=np.float32) for number in (POINTS, ASKED)
    )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    store.upsert(
        (VectorPoint(key, row, {"entity_id": key % ONE_IN}) for key, row in enumerate(rows)), model=MODEL
    )
    wait_until(lambda: engine.is_indexed(NAME))
    kept = np.arange(0, POINTS, ONE_IN)
    right = 0
    for query in queries:
        truly = kept[np.argsort(-rows[kept] @ query)[:NEAREST]].tolist()
        found = store.search(query, model=MODEL, limit=NEAREST, filter=Filter(must=(Match("entity_id", 0),)))
        right += len(set(truly) & {hit.id for hit in found})
    assert right >= 0.98 * NEAREST * ASKED
