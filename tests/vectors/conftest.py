from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from vectors import QdrantVectorStore, VectorPoint
from vectors.collections import CollectionSpec, IndexType
from vectors.engines.base import VectorEngine
from vectors.engines.edge import EdgeEngine

ROOT = Path(__file__).parents[2]
DIMENSION = 16
MODEL = "model"
SPEC = CollectionSpec("test", DIMENSION, {"entity_id": IndexType.INTEGER})

OpenEdge = Callable[..., EdgeEngine]
RunScript = Callable[..., subprocess.CompletedProcess[str]]


def points(ids: Sequence[int], seed: int = 0) -> list[VectorPoint]:
    rows = np.random.default_rng(seed).standard_normal((len(ids), DIMENSION)).astype(np.float32)
    return [VectorPoint(key, row, {"entity_id": key % 10}) for key, row in zip(ids, rows, strict=True)]


def store_on(engine: VectorEngine) -> QdrantVectorStore:
    return QdrantVectorStore(engine, SPEC)


@pytest.fixture
def open_edge(tmp_path: Path) -> Iterator[OpenEdge]:
    """Opens the same folder each time it is called."""
    opened: list[EdgeEngine] = []

    def open_(*, flush_seconds: float = 60, index_after: int = 1_000_000) -> EdgeEngine:
        opened.append(EdgeEngine(tmp_path / "edge", flush_seconds=flush_seconds, index_after=index_after))
        return opened[-1]

    yield open_
    for engine in opened:
        engine.close()


@pytest.fixture
def run_script(tmp_path: Path) -> RunScript:
    """Runs Python in a process of its own, with `FOLDER` and this module's names."""

    def run(script: str) -> subprocess.CompletedProcess[str]:
        head = f"from tests.vectors.conftest import *\nFOLDER = Path({str(tmp_path / 'edge')!r})\n"
        return subprocess.run(
            [sys.executable, "-c", head + script], cwd=ROOT, capture_output=True, text=True, check=False
        )

    return run
