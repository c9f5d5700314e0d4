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


def by_hand(faces: Faces, rules: Rules) -> set[frozenset[int]]:
    """Average linkage as its definition says it: each time all pairs of groups."""
    alike = faces.vectors @ faces.vectors.T
    left = [frozenset([index]) for index in range(len(alike)) if faces.quality[index] >= rules.good_quality]
    while True:
        pairs = [
            (float(alike[np.ix_(sorted(one), sorted(other))].mean()), one, other)
            for number, one in enumerate(left)
            for other in left[:number]
            if {faces.photos[index] for index in one}.isdisjoint(faces.photos[index] for index in other)
        ]
        mean, one, other = max(pairs, key=lambda pair: pair[0])
        if mean < rules.same_person_from:
            return set(left)
        left = [group for group in left if group not in (one, other)] + [one | other]


def test_the_two_that_are_most_alike_join_first() -> None:
    made = make_library(70, 8, seed=4)
    faces = Faces(made.vectors, made.quality, made.photos, np.full(70, NOBODY, dtype=np.int64))
    rules = Rules(same_person_from=0.5, small=0)
    found = cluster(faces, nearest(faces.vectors, 0.3, 70), rules)
    joined = {frozenset(group) for group in by_hand(faces, rules) if len(group) > 1}
    assert len(joined) > 4
    linked: dict[int, set[int]] = defaultdict(set)
    for index in np.flatnonzero(found.cores):
        linked[int(found.groups[index])].add(int(index))
    assert {frozenset(group) for group in linked.values() if len(group) > 1} == joined


def around(centre: NDArray[np.float64], number: int, own: float, seed: int) -> list[NDArray[np.float64]]:
    """Faces that are `own` alike to each other, whatever else is between them."""
    noise = np.random.default_rng(seed).standard_normal((number, len(centre)))
    noise -= np.outer(noise @ centre, centre)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return list(np.sqrt(own) * centre + np.sqrt(1 - own) * noise)


def two_beside_many(likeness: float, own: float) -> list[int]:
    """Two faces whose own direction has this likeness to that of forty others."""
    centre, aside = np.eye(256)[:2]
    theirs = likeness * centre + np.sqrt(1 - likeness**2) * aside
    vectors = [*around(centre, 40, 0.62, seed=1), *around(theirs, 2, own, seed=2)]
    return groups(of(*(vector.tolist() for vector in vectors)))[40:]


def test_a_few_that_are_just_too_far_on_average_join_a_larger_group() -> None:
    """0.49 on average, and 0.53 like each other."""
    assert two_beside_many(0.86, own=0.53) == [0, 0]


def test_those_of_a_sister_do_not_though_they_are_as_close() -> None:
    """Also 0.49 on average, but 0.77 like each other."""
    assert two_beside_many(0.71, own=0.77) == [40, 40]


def test_a_poor_face_joins_whom_enough_speak_for_though_the_centre_is_far() -> None:
    """It is like two of twenty."""
    centre, aside = np.eye(256)[:2]
    many = around(centre, 20, 0.62, seed=1)
    poor = 0.33 * many[0] + 0.33 * many[1] + 0.81 * aside
    quality = np.array([0.9] * 20 + [0.3])
    assert groups(of(*(vector.tolist() for vector in (*many, poor)), quality=quality))[20] == 0
    poor = 0.6 * many[0] + 0.8 * aside  # only one
    assert groups(of(*(vector.tolist() for vector in (*many, poor)), quality=quality))[20] == NOBODY
