"""Who is who among all faces at once. Pure, and the same whatever the order in which the faces came.

Good faces are put together by average linkage: of all pairs of groups that are neighbours, the two whose
faces are most alike on average become one, again and again, as long as that average is what shows one person.
Never two faces of one photo, never two people who were told apart, never two whom users have decided about.
Then a few faces that are just too far from a larger group on average join it, if each of them would be given
to it as it came, and if they are about as like it as they are like each other: those of a brother or a sister
are more like each other. What is left over, the poor crops above all, joins the group whose centre is closest
or whose faces speak for it, if that is clear, or waits.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from intelligence.recognition.rules import Rules

Vectors = NDArray[np.float32]
NOBODY = -1
BLOCK = 512
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
            near = near[np.argsort(-alike[near], kind="stable")[:most]]  # a slice would keep all of them
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
    groups.join_the_small()
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
        self.speaks = self.good | (faces.decided != NOBODY)
        self._sizes = np.ones(number)
        self._version = [0] * number

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
        self._sizes[into] += self._sizes[gone]
        self._version[into] += 1
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
        """The heap has one entry a group: whom it is most like. A join makes no group more like its
        neighbours than the likest of the two was, so an entry that is out of date promises too much, and is
        made anew when its turn comes; the group that was made has a fresh one.
        """
        beside = self._neighbouring()
        newest = {one: entry for one in beside if (entry := self._likest(one, beside))}
        heap = list(newest.values())
        heapq.heapify(heap)
        while heap:
            entry = heapq.heappop(heap)
            _, one, other, age = entry
            if newest.get(one) is not entry:
                continue
            if other in self.members and age == self._age(one, other):
                one, gone = min(one, other), max(one, other)
                self.join(one, gone)
                beside[one] = (beside[one] | beside.pop(gone)) - {one, gone}
                newest.pop(gone, None)
                for each in beside[one]:
                    beside[each].discard(gone)
                    beside[each].add(one)
            if fresh := self._likest(one, beside):
                heapq.heappush(heap, fresh)
                newest[one] = fresh
            else:
                newest.pop(one, None)

    def _neighbouring(self) -> dict[int, set[int]]:
        """Groups with good faces that are alike, or that users have decided about."""
        beside: dict[int, set[int]] = {}
        takes_part = self.speaks
        for index, near in enumerate(self.graph.indices):
            if takes_part[index]:
                mine = int(self.of[index])
                others = {int(group) for group in self.of[near[takes_part[near]]]} - {mine}
                beside.setdefault(mine, set()).update(others)
                for other in others:
                    beside.setdefault(other, set()).add(mine)
        return beside

    def _likest(self, one: int, beside: Mapping[int, set[int]]) -> tuple[float, int, int, int] | None:
        """Of those that it may join. Whom it may not, it never may."""
        ordered = np.array(sorted(beside[one]), dtype=np.int64)
        alike = self.sums[ordered] @ self.sums[one] / (self._sizes[ordered] * self._sizes[one])
        for place in np.argsort(-alike, kind="stable"):
            if alike[place] < self.rules.same_person_from:
                break
            other = int(ordered[place])
            if not self._must_not_join(one, other):
                return -float(alike[place]), one, other, self._age(one, other)
            beside[one].discard(other)
            beside[other].discard(one)
        return None

    def _age(self, one: int, other: int) -> int:
        """Another one as soon as one of them has grown."""
        return self._version[one] + self._version[other]

    def _must_not_join(self, one: int, other: int) -> bool:
        if one in self.person and other in self.person:
            return True
        return self._is_ruled_out(one, other) or not self.photos[one].isdisjoint(self.photos[other])

    def _is_ruled_out(self, one: int, other: int) -> bool:
        return self.person.get(one, NOBODY) in self.not_these.get(other, ()) or self.person.get(
            other, NOBODY
        ) in self.not_these.get(one, ())

    # --- What is left over ---

    def join_the_small(self) -> None:
        cores = self._cores()
        wishes = sorted(
            (-alike, small, group)
            for small, members in self.members.items()
            if 1 < len(members) <= self.rules.small and small not in self.person
            if (group := self._meant_by_all(members, cores)) is not None
            if (alike := self._alike(small, group)) is not None
        )
        joined: set[int] = set()
        for _, small, group in wishes:
            goal = int(self.of[group])
            if group not in joined and not self._must_not_join(small, goal):
                self.join(small, goal)
                joined.add(small)

    def _meant_by_all(self, members: Sequence[int], cores: Mapping[int, int]) -> int | None:
        """The larger group that each of them would be given to."""
        meant = {self._spoken_for(index, cores) for index in members}
        group = meant.pop() if len(meant) == 1 else None
        return group if group is not None and len(self.members[group]) > len(members) else None

    def _alike(self, small: int, group: int) -> float | None:
        """How like the group these faces are on average, if that is enough."""
        number, sums = len(self.members[small]), self.sums
        alike = float(sums[small] @ sums[group]) / (number * len(self.members[group]))
        each_other = (float(sums[small] @ sums[small]) - number) / (number * (number - 1))
        is_near = alike >= self.rules.same_person_from - self.rules.nearly
        return alike if is_near and alike >= each_other - self.rules.looser else None

    def attach_the_rest(self) -> list[int]:
        """The closest first; what has joined counts for the photos, but moves no centre. Answers who has."""
        centres, cores = self._centres(), self._cores()
        wishes = sorted(
            (-float(centres[group] @ self.faces.vectors[index]), index, group)
            for index in self._left_over()
            if (group := self._wish(index, centres, cores)) is not None
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

    def _wish(
        self, index: int, centres: Mapping[int, NDArray[np.float32]], cores: Mapping[int, int]
    ) -> int | None:
        """The closest centre, or whom enough faces speak for; where these are two, neither."""
        wishes = {self._closest(index, centres), self._spoken_for(index, cores)} - {None}
        group = wishes.pop() if len(wishes) == 1 else None
        return group if group is not None and len(self.members[group]) > 1 else None

    def _cores(self) -> Counter[int]:
        return Counter(self.of[self.speaks].tolist())

    def _spoken_for(self, index: int, cores: Mapping[int, int]) -> int | None:
        """By the rule for faces as they come (deciding.py): by enough faces, and clearly."""
        rules, quality, mine = self.rules, self.faces.quality, int(self.of[index])
        cosines: dict[int, list[float]] = defaultdict(list)
        for near, cosine in zip(self.graph.indices[index], self.graph.cosines[index], strict=True):
            if self.speaks[near] and cosine >= rules.needed(quality[index], quality[near]):
                cosines[int(self.of[near])].append(float(cosine))
        ranked = []
        for group, found in cosines.items():
            if group != mine and not self._must_not_join(mine, group):
                silent = min(rules.strongest, cores[group]) - len(found)
                strongest = found[: rules.strongest] + [rules.same_person_from] * max(silent, 0)
                ranked.append((fmean(strongest), group))
        ranked.sort(reverse=True)
        if not ranked:
            return None
        closeness, group = ranked[0]
        is_clear = len(ranked) == 1 or closeness - ranked[1][0] >= rules.margin
        return group if is_clear and len(cosines[group]) >= min(rules.support, cores[group]) else None

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

    def _closest(self, index: int, centres: Mapping[int, NDArray[np.float32]]) -> int | None:
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
        return group if is_close and is_clear else None
