"""The one table of what is kept: which vectors, of what size, with which payload to filter on.

The distance is cosine everywhere. Every vector belongs to a model, so each kind of vector has one physical
collection a model, named `<collection>__<model>__<dimension>`; the plain name is an alias that points at the
model that is searched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from vectors.errors import InvalidVectorError

MAX_NAME_LENGTH = 200
"""Leaves room in the 255 bytes that a folder's name may have."""


class VectorKind(StrEnum):
    CLIP = "clip"
    DINO = "dino"
    FACE = "face"


class IndexType(StrEnum):
    INTEGER = "integer"
    KEYWORD = "keyword"
    DATETIME = "datetime"


@dataclass(frozen=True)
class CollectionSpec:
    name: str
    dimension: int
    indexes: Mapping[str, IndexType]
    """Payload keys with an index. Other keys can be kept and filtered on too, only slower."""


_IMAGE_INDEXES = {
    "entity_id": IndexType.INTEGER,
    "md5": IndexType.KEYWORD,
    "hidden": IndexType.INTEGER,
    "ancestor_ids": IndexType.INTEGER,
    "known_person_ids": IndexType.INTEGER,
    "mime_type": IndexType.KEYWORD,
    "create_date": IndexType.DATETIME,
}
_FACE_INDEXES = {
    "face_id": IndexType.INTEGER,
    "entity_id": IndexType.INTEGER,
    "known_person_id": IndexType.INTEGER,
    "md5": IndexType.KEYWORD,
    "hidden": IndexType.INTEGER,
}

COLLECTIONS: Mapping[VectorKind, CollectionSpec] = {
    VectorKind.CLIP: CollectionSpec("clip_embeddings", 512, _IMAGE_INDEXES),
    VectorKind.DINO: CollectionSpec("dino_embeddings", 384, _IMAGE_INDEXES),
    VectorKind.FACE: CollectionSpec("face_embeddings", 512, _FACE_INDEXES),
}


@dataclass(frozen=True)
class ModelCollection:
    """The vectors of one model: a physical collection."""

    collection: str
    model: str
    dimension: int

    @property
    def physical_name(self) -> str:
        name = f"{self.collection}__{_escape(self.model)}__{self.dimension}"
        if not self.model or len(name) > MAX_NAME_LENGTH:
            raise InvalidVectorError(f"{self.model!r} is empty or too long for the name of a model.")
        return name

    @classmethod
    def parse(cls, collection: str, physical_name: str) -> Self | None:
        """None where the name is not that of one of the collection's models."""
        found = re.fullmatch(rf"{re.escape(collection)}__(.+)__(\d+)", physical_name)
        return None if found is None else cls(collection, _unescape(found[1]), int(found[2]))


def _escape(model: str) -> str:
    """Reversible, so two models never share a name: what a name cannot hold becomes `=` and hex digits."""
    return "".join(
        chr(byte) if re.fullmatch(rb"[A-Za-z0-9._-]", bytes([byte])) else f"={byte:02X}"
        for byte in model.encode()
    )


def _unescape(escaped: str) -> str:
    return re.sub(rb"=([0-9A-F]{2})", lambda hexed: bytes([int(hexed[1], 16)]), escaped.encode()).decode()
