"""Points, hits, filters and settings: what callers and engines hand each other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vectors.collections import COLLECTIONS

Vector = NDArray[np.float32]
"""Shape (dimension,)."""

Payload = Mapping[str, Any]
"""Numbers, strings, booleans, datetimes with a time zone, None, and lists of these. Booleans come back as 0
and 1, datetimes as ISO 8601."""


@dataclass(frozen=True, eq=False)
class VectorPoint:
    id: int
    vector: Vector
    payload: Payload = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    id: int
    score: float
    """Cosine similarity."""
    payload: Payload


@dataclass(frozen=True)
class Record:
    id: int
    payload: Payload


@dataclass(frozen=True)
class Match:
    """Booleans are kept as 0 and 1 and match those."""

    key: str
    value: str | int


@dataclass(frozen=True)
class MatchAny:
    """Matches nothing where there are no values."""

    key: str
    values: tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Range:
    key: str
    gte: float | None = None
    gt: float | None = None
    lte: float | None = None
    lt: float | None = None


@dataclass(frozen=True, kw_only=True)
class DatetimeRange:
    """The bounds have a time zone."""

    key: str
    gte: datetime | None = None
    gt: datetime | None = None
    lte: datetime | None = None
    lt: datetime | None = None


@dataclass(frozen=True)
class HasId:
    ids: frozenset[int]


Condition = Match | MatchAny | Range | DatetimeRange | HasId


@dataclass(frozen=True)
class Filter:
    """All of `must` and none of `must_not`. A condition on a list holds if any of its items meets it."""

    must: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()


@dataclass(frozen=True, eq=False)
class Query:
    vector: Vector
    filter: Filter


@dataclass(frozen=True)
class PayloadChange:
    filter: Filter
    payload: Payload


@dataclass(frozen=True)
class CollectionSettings:
    name: str
    dimension: int

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9-]+(_[A-Za-z0-9-]+)*", self.name):
            raise ValueError(
                f"{self.name!r} cannot name a collection of vectors: use letters, digits, hyphens and single "
                "underscores between them."
            )
        if self.dimension < 1:
            raise ValueError(f"{self.name} needs a dimension of 1 or more, not {self.dimension}.")


def _default_collections() -> dict[str, CollectionSettings]:
    return {kind: CollectionSettings(spec.name, spec.dimension) for kind, spec in COLLECTIONS.items()}


@dataclass(frozen=True)
class VectorSettings:
    path: Path
    """Folder of the embedded engine, used where there is no url."""
    url: str = ""
    """Of a Qdrant server; "" embeds the engine in this process."""
    api_key: str = field(default="", repr=False)
    prefer_grpc: bool = False
    timeout_seconds: float = 10.0
    collections: Mapping[str, CollectionSettings] = field(default_factory=_default_collections)
    """Name and dimension by VectorKind."""

    def __post_init__(self) -> None:
        names = [collection.name for collection in self.collections.values()]
        if set(self.collections) != set(COLLECTIONS) or len(set(names)) != len(names):
            raise ValueError(f"Each of {', '.join(COLLECTIONS)} needs a collection with a name of its own.")
