"""Synthetic vectors in clusters, in a file that is mapped into memory, and which are truly nearest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLUSTER = 100
NOISE = 0.7
NEAREST = 10
CHUNK = 50_000

Matrix = NDArray[np.float32]


def write(file: Path, number: int, dimension: int) -> None:
    """The same ones each time."""
    made = np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=(number, dimension))
    centres = _centres(number, dimension)
    for start in range(0, number, CHUNK):
        part = made[start : start + CHUNK]
        part[:] = _drawn(centres, len(part), seed=start + 1)


def mapped(file: Path) -> Matrix:
    vectors: Matrix = np.load(file, mmap_mode="r")
    return vectors


def queries(count: int, number: int, dimension: int) -> Matrix:
    """Made like the vectors, and none of them."""
    return _drawn(_centres(number, dimension), count, seed=0)


def exact(vectors: Matrix, queries: Matrix, ids: NDArray[np.int64]) -> list[list[int]]:
    """Of all queries at once, a part of the vectors at a time."""
    best = [np.empty(0, dtype=np.int64)] * len(queries)
    scores = [np.empty(0, dtype=np.float32)] * len(queries)
    for start in range(0, len(vectors), CHUNK):
        part = queries @ vectors[start : start + CHUNK].T
        for number, mine in enumerate(part):
            both = np.concatenate([scores[number], mine])
            names = np.concatenate([best[number], ids[start : start + CHUNK]])
            chosen = np.argpartition(-both, NEAREST)[:NEAREST]
            best[number], scores[number] = names[chosen], both[chosen]
    return [each.tolist() for each in best]


def nearest(vectors: Matrix, query: Matrix) -> list[int]:
    """Rows, by comparing with each."""
    scores = vectors @ query
    return [int(each) for each in np.argpartition(-scores, NEAREST)[:NEAREST]]


def _centres(number: int, dimension: int) -> Matrix:
    generator = np.random.default_rng(0)
    return _unit(generator.standard_normal((max(1, number // CLUSTER), dimension), dtype=np.float32))


def _drawn(centres: Matrix, count: int, *, seed: int) -> Matrix:
    generator = np.random.default_rng([1, seed])
    dimension = centres.shape[1]
    noise = generator.standard_normal((count, dimension), dtype=np.float32) * (NOISE / dimension**0.5)
    return _unit(centres[generator.integers(len(centres), size=count)] + noise)


def _unit(matrix: Matrix) -> Matrix:
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    return matrix
