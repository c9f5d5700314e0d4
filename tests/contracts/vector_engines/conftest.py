"""Every operation on every engine, with the same body.

The server's side speaks HTTP to qdrant-client's own in-memory mode; where QDRANT_TEST_URL is set, to a real
server too.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import qdrant_service
from tests.contracts.vector_engines.points import (
    DIMENSION,
    INDEXES,
    SERVERS,
)
from vectors import QdrantVectorStore, VectorSettings
from vectors.collections import CollectionSpec
from vectors.engines.base import VectorEngine
from vectors.engines.edge import EdgeEngine
from vectors.engines.server import ServerEngine


@pytest.fixture(params=["edge", *SERVERS])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorEngine]:
    engine: VectorEngine
    if request.param == "edge":
        engine = EdgeEngine(tmp_path)
    else:
        request.getfixturevalue("socket_enabled")
        url = qdrant_service.REAL if request.param == "server" else request.getfixturevalue("qdrant_url")
        engine = ServerEngine.create(VectorSettings(tmp_path, url))
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
