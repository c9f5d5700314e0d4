"""Rows and files for tests, each as small as it can be."""

from __future__ import annotations

import io
import random
from typing import Any

from PIL import Image

from entities import services
from entities.models import Entity
from entities.storage import EntityStorageService


def jpeg(seed: int = 0, *, size: tuple[int, int] = (64, 48)) -> bytes:
    """A photo unlike that of any other seed."""
    noise = Image.frombytes("RGB", (8, 6), random.Random(seed).randbytes(8 * 6 * 3))
    buffer = io.BytesIO()
    noise.resize(size).save(buffer, "JPEG", comment=str(seed).encode())
    return buffer.getvalue()


def store(content: bytes, **fields: Any) -> services.StoredEntity:
    storage = EntityStorageService.from_settings()
    with storage.receive([content]) as incoming:
        return services.create_entity(storage=storage, incoming=incoming, **fields)


def make_photo(seed: int = 0, **fields: Any) -> Entity:
    return store(jpeg(seed), **fields).entity


def make_collection(label: str = "a collection", **fields: Any) -> Entity:
    return services.create_collection(label=label, **fields)
