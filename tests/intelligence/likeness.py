"""Vectors whose similarity a test knows: each is a direction in one plane, given by its angle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from entities.models import Entity
from intelligence.models import Face
from vectors import QdrantVectorStore, VectorPoint, get_clip_store, get_dino_store, get_face_store
from vectors.schemas import Vector

DIMENSION = {"clip": 512, "dino": 384, "face": 512}
STORES = {"clip": get_clip_store, "dino": get_dino_store, "face": get_face_store}


def direction(degrees: float, *, dimension: int, length: float = 1.0) -> Vector:
    vector = np.zeros(dimension, dtype=np.float32)
    vector[:2] = length * math.cos(math.radians(degrees)), length * math.sin(math.radians(degrees))
    return vector


def cosine(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def put(kind: str, angles: Mapping[Entity | Face, float], **payload: Any) -> QdrantVectorStore:
    store = STORES[kind]()
    store.upsert(
        (
            VectorPoint(owner.pk, direction(degrees, dimension=DIMENSION[kind], length=3.0), payload)
            for owner, degrees in angles.items()
        ),
        model="model",
    )
    return store
