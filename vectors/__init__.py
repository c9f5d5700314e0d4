"""Vectors of images and faces: kept by model, searched by likeness. Knows nothing of the other apps."""

from __future__ import annotations

from vectors.collections import COLLECTIONS, VectorKind
from vectors.engines.folder import holder_of_folder
from vectors.errors import (
    DimensionMismatchError,
    InvalidPayloadError,
    InvalidVectorError,
    ModelInUseError,
    ModelMismatchError,
    UnknownModelError,
    VectorsClosedError,
    VectorsCorruptError,
    VectorsInUseError,
    VectorStoreError,
    VectorsUnavailableError,
)
from vectors.schemas import (
    CollectionSettings,
    DatetimeRange,
    Filter,
    HasId,
    Hit,
    Match,
    MatchAny,
    Range,
    Record,
    VectorPoint,
    VectorSettings,
)
from vectors.store import QdrantVectorStore
from vectors.stores import (
    choose_models_by,
    close_stores,
    get_clip_store,
    get_dino_store,
    get_face_store,
    require_answer,
)

__all__ = [
    "COLLECTIONS",
    "CollectionSettings",
    "DatetimeRange",
    "DimensionMismatchError",
    "Filter",
    "HasId",
    "Hit",
    "InvalidPayloadError",
    "InvalidVectorError",
    "Match",
    "MatchAny",
    "ModelInUseError",
    "ModelMismatchError",
    "QdrantVectorStore",
    "Range",
    "Record",
    "UnknownModelError",
    "VectorKind",
    "VectorPoint",
    "VectorSettings",
    "VectorStoreError",
    "VectorsClosedError",
    "VectorsCorruptError",
    "VectorsInUseError",
    "VectorsUnavailableError",
    "choose_models_by",
    "close_stores",
    "get_clip_store",
    "get_dino_store",
    "get_face_store",
    "holder_of_folder",
    "require_answer",
]
