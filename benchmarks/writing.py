"""Writing synthetic vectors, all at first or some all the time."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator

from benchmarks.clustered import Matrix
from vectors import QdrantVectorStore, VectorPoint

ONE_IN = 100
"""Of so many points one is kept by the filter that keeps few."""
AT_ONCE = 16
TIMES_A_SECOND = 20


def points(vectors: Matrix, first: int) -> Iterator[VectorPoint]:
    for number, vector in enumerate(vectors, first):
        payload = {
            "entity_id": number,
            "md5": f"{number:032x}",
            "hidden": 0,
            "ancestor_ids": [number % ONE_IN],
        }
        yield VectorPoint(number, vector, payload)


def keep_writing(store: QdrantVectorStore, model: str, vectors: Matrix, stop: threading.Event) -> None:
    """Over vectors that are there, so that what is found stays the same."""
    while not stop.wait(1 / TIMES_A_SECOND):
        first = random.randrange(len(vectors) - AT_ONCE)
        store.upsert(points(vectors[first : first + AT_ONCE], first + 1), model=model)
