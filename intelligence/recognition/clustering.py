"""Who is who among all faces at once. Pure, and the same whatever the order in which the faces came.

Good faces are put together by average linkage: of all pairs of groups that are neighbours, the two whose
faces are most alike on average become one, again and again, as long as that average is what shows one person.
Never two faces of one photo, never two people who were told apart, never two whom users have decided about.
What is left over, the poor crops above all, then joins the group whose centre is closest, if it is clearly
closer than the next, or waits.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from intelligence.recognition.rules import Rules

Vectors = NDArray[np.float32]
NOBODY = -1
BLOCK = 2048
"""Rows compared with all others at once: n x BLOCK numbers in memory, never n x n."""


@dataclass(frozen=True)
class Graph:
    """For each face the indices of its neighbours, the closest first, and their cosines."""

    indices: Sequence[NDArray[np.int64]]
    cosines: Sequence[NDArray[np.float32]]


@dataclass(frozen=True)
class Faces:
    """By index. The order is the caller's: one that does not depend on when the faces came."""

    vectors: Vectors
    quality: NDArray[np.float64]
    photos: NDArray[np.int64]
    decided: NDArray[np.int64]
    """The person whom the face must stay with, or NOBODY."""
    not_these: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """People whom a face is not, or who are on its photo already."""


def nearest(vectors: Vectors, least: float, most: int) -> Graph:
    """Exact, by comparing each with all."""
    indices: list[NDArray[np.int64]] = []
    cosines: list[NDArray[np.float32]] = []
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK] @ vectors.T
        for row, alike in enumerate(block):
            alike[start + row] = -1.0
            near = np.flatnonzero(alike >= least)
            near = near[np.argsort(-alike[near], kind="stable")][:most]
            indices.append(near)
            cosines.append(alike[near])
    return Graph(indices, cosines)


@dataclass(frozen=True)
class Partition:
    groups: NDArray[np.int64]
    """For each face the smallest index of its group, or NOBODY where it waits."""
    cores: NDArray[np.bool_]
    """Those that speak for their group: good, and put there by linkage."""


def cluster(faces: Faces, graph: Graph, rules: Rules) -> Partition:
    groups = _Groups(faces, graph, rules)
    groups.join_the_decided()
    groups.link()
    attached = groups.attach_the_rest()
    cores = groups.good | (faces.decided != NOBODY)
    cores[attached] = False
    return Partition(groups.of, cores & (groups.of != NOBODY))


class _Groups:
    """Groups of faces, each named after its smallest index."""

    def __init__(self, faces: Faces, graph: Graph, rules: Rules) -> None:
        self.faces, self.graph, self.rules = faces, graph, rules
        number = len(faces.vectors)
        self.of = np.arange(number)
        self.sums = faces.vectors.astype(np.float32, copy=True)
        self.members: dict[int, list[int]] = {index: [index] for index in range(number)}
        self.photos: dict[int, set[int]] = {i: {int(photo)} for i, photo in enumerate(faces.photos)}
        self.person: dict[int, int] = {i: int(p) for i, p in enumerate(faces.decided) if p != NOBODY}
        self.not_these: dict[int, set[int]] = {i: set(who) for i, who in faces.not_these.items()}
        self.good = faces.quality >= rules.good_quality
        self._version = np.zeros(number, dtype=np.int64)

    def join(self, one: int, other: int) -> int:
        into, gone = min(one, other), max(one, other)
        self.sums[into] += self.sums[gone]
        self.of[self.members[gone]] = into
        self.members[into] += self.members.pop(gone)
        self.photos[into] |= self.photos.pop(gone)
        if gone in self.person:
            self.person[into] = self.person.pop(gone)
        if gone in self.not_these:
            self.not_these.setdefault(into, set()).update(self.not_these.pop(gone))
        self._version[[into, gone]] += 1
        return into

    def join_the_decided(self) -> None:
        first: dict[int, int] = {}
        for index, person in enumerate(self.faces.decided):
            if person != NOBODY:
                here = first.setdefault(int(person), index)
                if here != index:
                    first[int(person)] = self.join(here, index)

    # --- Good faces ---

    def link(self) -> None:
        beside = self._neighbouring()
        heap = [
            entry
            for one, others in beside.items()
            for entry in self._entries(one, {other for other in others if one < other})
        ]
        heapq.heapify(heap)
        while heap:
            alike, one, other, versions = heapq.heappop(heap)
            if -alike < self.rules.same_person_from:
                return
            if versions != self._versions(one, other) or self._must_not_join(one, other):
                continue
            into, gone = min(one, other), max(one, other)
            self.join(one, other)
            around = (beside[into] | beside.pop(gone)) - {into, gone}
            beside[into] = around
            for entry in self._entries(into, around):
                heapq.heappush(heap, entry)
            for each in around:
                beside[each].discard(gone)
                beside[each].add(into)

    def _neighbouring(self) -> dict[int, set[int]]:
        """Groups with good faces that are alike, or that users have decided about."""
        beside: dict[int, set[int]] = {}
        takes_part = self.good | (self.faces.decided != NOBODY)
        for index, near in enumerate(self.graph.indices):
            if takes_part[index]:
                mine = int(self.of[index])
                others = {int(group) for group in self.of[near[takes_part[near]]]} - {mine}
                beside.setdefault(mine, set()).update(others)
                for other in others:
                    beside.setdefault(other, set()).add(mine)
        return beside

    def _entries(self, one: int, others: set[int]) -> Iterator[tuple[float, int, int, tuple[int, int]]]:
        ordered = sorted(others)
        alike = self.sums[ordered] @ self.sums[one] if ordered else ()
        for other, total in zip(ordered, alike, strict=True):
            mean = float(total) / (len(self.members[one]) * len(self.members[other]))
            if mean >= self.rules.same_person_from:
                yield -mean, one, other, self._versions(one, other)

    def _versions(self, one: int, other: int) -> tuple[int, int]:
        return int(self._version[one]), int(self._version[other])

    def _must_not_join(self, one: int, other: int) -> bool:
        if one not in self.members or other not in self.members:
            return True
        if one in self.person and other in self.person:
            return True
        return self._is_ruled_out(one, other) or not self.photos[one].isdisjoint(self.photos[other])

    def _is_ruled_out(self, one: int, other: int) -> bool:
        return self.person.get(one, NOBODY) in self.not_these.get(other, ()) or self.person.get(
            other, NOBODY
        ) in self.not_these.get(one, ())

    # --- What is left over ---

    def attach_the_rest(self) -> list[int]:
        """The closest first; what has joined counts for the photos, but moves no centre. Answers who has."""
        centres = self._centres()
        wishes = sorted(
            (-closeness, index, group)
            for index in self._left_over()
            if (wish := self._closest(index, centres)) is not None
            for closeness, group in (wish,)
        )
        attached = []
        for _, index, group in wishes:
            if self.photos[group].isdisjoint(self.photos[index]):
                self.of[index] = group
                self.photos[group] |= self.photos[index]
                attached.append(index)
        for index in self._left_over():
            if self.of[index] == index and not self.good[index]:
                self.of[index] = NOBODY
        return attached

    def _left_over(self) -> list[int]:
        """Faces that are alone, and that nobody has decided about."""
        return [
            group for group, members in self.members.items() if len(members) == 1 and group not in self.person
        ]

    def _centres(self) -> dict[int, NDArray[np.float32]]:
        return {
            group: self.sums[group] / np.linalg.norm(self.sums[group])
            for group, members in self.members.items()
            if len(members) > 1 or group in self.person or self.good[group]
        }

    def _closest(self, index: int, centres: Mapping[int, NDArray[np.float32]]) -> tuple[float, int] | None:
        groups = {int(group) for group in self.of[self.graph.indices[index]]} & centres.keys() - {index}
        ranked = sorted(
            ((float(centres[group] @ self.faces.vectors[index]), group) for group in groups), reverse=True
        )
        open_groups = [
            (closeness, group)
            for closeness, group in ranked
            if not self._is_ruled_out(index, group) and self.photos[group].isdisjoint(self.photos[index])
        ]
        if not open_groups:
            return None
        closeness, group = open_groups[0]
        second = open_groups[1][0] if len(open_groups) > 1 else -1.0
        is_close = closeness >= self.rules.needed(self.faces.quality[index], 1.0)
        is_clear = closeness - second >= self.rules.margin
        return (closeness, group) if is_close and is_clear and len(self.members[group]) > 1 else None
