"""What the tests of all engines put into them."""

from __future__ import annotations

import numpy as np

from tests import qdrant_service
from vectors import (
    VectorPoint,
)
from vectors.collections import IndexType
from vectors.schemas import Vector

DIMENSION = 8
MODEL = "org/model-a"
OTHER = "org=2Fmodel-a"  # what a careless escape would make of the first
INDEXES = {
    "entity_id": IndexType.INTEGER,
    "md5": IndexType.KEYWORD,
    "ancestor_ids": IndexType.INTEGER,
    "create_date": IndexType.DATETIME,
}

SERVERS = ["http", *(["server"] if qdrant_service.REAL else [])]


def vector(*components: float) -> Vector:
    return np.array([*components, *[0.0] * (DIMENSION - len(components))], dtype=np.float32)


def random_vectors(count: int, seed: int = 0) -> Vector:
    return np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)


def random_points(count: int, seed: int = 0) -> list[VectorPoint]:
    return [
        VectorPoint(number, row, {"entity_id": number % 10})
        for number, row in enumerate(random_vectors(count, seed))
    ]
