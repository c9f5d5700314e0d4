"""Who is who among all faces at once: no database here."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.libraries import Library, make_library
from intelligence.recognition.clustering import NOBODY, Faces, Partition, cluster, nearest
from intelligence.recognition.rules import Rules

RULES = Rules(same_person_from=0.5)


def settle(library: Library, order: NDArray[np.int64], **fields: object) -> Partition:
    faces = Faces(
        vectors=library.vectors[order],
        quality=library.quality[order],
        photos=library.photos[order],
        decided=np.full(len(order), NOBODY, dtype=np.int64),
    )
    return cluster(faces, nearest(faces.vectors, RULES.same_person_from, 40), RULES)


def as_sets(partition: Partition, order: NDArray[np.int64]) -> set[frozenset[int]]:
    found: dict[int, set[int]] = defaultdict(set)
    for face, group in zip(order, partition.groups, strict=True):
        found[int(group)].add(int(face))
    return {frozenset(members) for members in found.values()}


@pytest.fixture(scope="module")
def library() -> Library:
    return make_library(900, 40, seed=3)


@pytest.mark.parametrize("seed", range(4))
def test_any_order_gives_the_same_partition(library: Library, seed: int) -> None:
    straight = np.arange(len(library.people))
    order = np.random.default_rng(seed).permutation(len(library.people))
    assert as_sets(settle(library, order), order) == as_sets(settle(library, straight), straight)


def test_people_are_found(library: Library) -> None:
    partition = settle(library, np.arange(len(library.people)))
    same = library.people[:, None] == library.people[None]
    given = partition.groups != NOBODY
    together = (partition.groups[:, None] == partition.groups[None]) & given[:, None] & given[None]
    assert (together & ~same).sum() == 0
    assert (together & same).sum() > 0.9 * same.sum()
    assert not partition.cores[library.quality < RULES.good_quality].any()


def test_nobody_is_twice_on_a_photo(library: Library) -> None:
    partition = settle(library, np.arange(len(library.people)))
    seen = [
        (photo, group)
        for photo, group in zip(library.photos, partition.groups, strict=True)
        if group != NOBODY
    ]
    assert len(set(seen)) == len(seen)


def of(*vectors: list[float], photos: list[int] | None = None, **fields: object) -> Faces:
    made = np.array(vectors, dtype=np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    usual = {
        "quality": np.full(len(made), 0.9),
        "photos": np.arange(len(made)) if photos is None else np.array(photos),
        "decided": np.full(len(made), NOBODY, dtype=np.int64),
    }
    return Faces(made, **{**usual, **fields})  # type: ignore[arg-type]


def groups(faces: Faces) -> list[int]:
    return [int(each) for each in cluster(faces, nearest(faces.vectors, 0.5, 40), RULES).groups]


def test_a_chain_is_not_one_person() -> None:
    """Each is like the next, but the ends are strangers: on average they are too far apart."""
    angles = np.deg2rad([0, 50, 100, 150])
    assert len(set(groups(of(*([float(np.cos(a)), float(np.sin(a))] for a in angles))))) == 2


def test_a_photo_keeps_its_faces_apart() -> None:
    assert groups(of([1, 0], [1, 0.1], photos=[7, 7])) == [0, 1]
    assert groups(of([1, 0], [1, 0.1])) == [0, 0]


def test_what_users_said_holds() -> None:
    alike: list[list[float]] = [[1, 0], [1, 0.1], [1, 0.05]]
    assert groups(of([1, 0], [0, 1], decided=np.array([5, 5]))) == [0, 0]
    assert len(set(groups(of(*alike, decided=np.array([5, NOBODY, 6]))))) == 2
    assert groups(of([1, 0], [1, 0.1], decided=np.array([5, NOBODY]), not_these={1: frozenset({5})})) == [
        0,
        1,
    ]


def test_a_poor_face_joins_if_it_is_clearly_closer() -> None:
    poor = np.array([0.9, 0.9, 0.9, 0.9, 0.2])
    assert groups(of([1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 0.3], quality=poor)) == [0, 0, 2, 2, 0]
    assert groups(of([1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 1], quality=poor)) == [0, 0, 2, 2, NOBODY]


def test_a_poor_face_alone_waits_and_a_good_one_is_somebody() -> None:
    assert groups(of([1, 0], [0, 1], quality=np.array([0.2, 0.9]))) == [NOBODY, 1]
