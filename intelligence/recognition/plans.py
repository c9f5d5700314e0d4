"""What a re-clustering would change: read without a lock, and checked again when it is applied."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from django.db.models import F, Q
from django.utils import timezone
from numpy.typing import NDArray

from intelligence import visibility
from intelligence.models import (
    Face,
    FaceDecision,
    FaceMatch,
    KnownPerson,
    PeopleOperation,
    PersonDistinction,
)
from intelligence.recognition.clustering import NOBODY, Faces, Partition, Vectors, cluster, nearest
from intelligence.recognition.recogniser import Calibration
from vectors import QdrantVectorStore

NEIGHBOURS = 40


@dataclass(frozen=True)
class Move:
    face: int
    person_before: int | None
    person: int | None
    """Below 0: somebody new."""
    standing: str


@dataclass(frozen=True)
class Plan:
    made_at: datetime
    last_operation: int
    faces: int
    """Looked at."""
    moves: tuple[Move, ...]
    dropped: tuple[int, ...]
    """People who would have no face left, and whom nobody has decided about."""

    @property
    def new_people(self) -> list[int]:
        return sorted({move.person for move in self.moves if move.person is not None and move.person < 0})

    def figures(self) -> dict[str, int]:
        moved = [move for move in self.moves if move.person != move.person_before]
        goals: dict[int, set[int]] = defaultdict(set)
        for move in moved:
            if move.person_before is not None and move.person is not None:
                goals[move.person_before].add(move.person)
        return {
            "faces looked at": self.faces,
            "people joined": sum(person in goals for person in self.dropped),
            "people split": sum(person not in self.dropped for person in goals),
            "people made": len(self.new_people),
            "people dropped": len(self.dropped),
            "faces moved": len(moved),
            "faces waiting": sum(move.person is None for move in moved),
        }


def make_plan(store: QdrantVectorStore, calibrated: Calibration, *, since: datetime | None = None) -> Plan:
    """Of everything; or of what has changed since then, with all that is near it."""
    made_at = timezone.now()
    newest = PeopleOperation.objects.order_by("-pk").values_list("pk", flat=True).first()
    rows = _rows(calibrated.model, since)
    rows, vectors = _in_their_own_order(rows, store, calibrated.model)
    decided_people = _decided_people()
    faces = Faces(
        vectors=vectors,
        quality=np.array([row.quality for row in rows]),
        photos=np.array([row.entity_id for row in rows], dtype=np.int64),
        decided=_decided(rows, vectors, decided_people, calibrated.rules.same_person_from),
        not_these=_not_these(rows),
    )
    graph = nearest(vectors, calibrated.rules.same_person_from, NEIGHBOURS)
    partition = cluster(faces, graph, calibrated.rules)
    moves = tuple(_moves(rows, partition, faces.decided, decided_people))
    return Plan(made_at, newest or 0, len(rows), moves, _dropped(moves, decided_people))


def _rows(model: str, since: datetime | None) -> list[Face]:
    looked_at = Face.objects.filter(recognised_with=model)
    if since is not None:
        looked_at = looked_at.filter(Q(known_person__isnull=True) | Q(known_person__in=_people_near(since)))
    return list(visibility.outside_trash(looked_at).order_by("pk"))


def _people_near(since: datetime) -> set[int]:
    """Of the faces that were looked at since then, and of those that they are like."""
    fresh = Face.objects.filter(recognised_at__gte=since).order_by().values("pk")
    near = FaceMatch.objects.filter(Q(face__in=fresh) | Q(matched_face__in=fresh)).order_by()
    people = set(Face.objects.filter(pk__in=fresh).values_list("known_person_id", flat=True))
    for end in ("face__known_person_id", "matched_face__known_person_id"):
        people |= set(near.values_list(end, flat=True))
    for operation in PeopleOperation.objects.filter(at__gte=since):
        people |= set(operation.people)
    return {pk for pk in people if pk is not None}


def _in_their_own_order(
    rows: Collection[Face], store: QdrantVectorStore, model: str
) -> tuple[list[Face], Vectors]:
    """By their vectors, which say nothing of when they came. Those without one are left as they are."""
    found = store.fetch([row.pk for row in rows], model=model)
    ordered = sorted((row for row in rows if row.pk in found), key=lambda row: found[row.pk].tobytes())
    dimension = len(next(iter(found.values()))) if found else 1
    vectors = np.array([found[row.pk] for row in ordered], dtype=np.float32)
    return ordered, vectors.reshape(len(ordered), dimension)


def _decided_people() -> set[int]:
    """Whom a user has named, hidden, given a cover, or said something about: they stay who they are."""
    people = set(
        KnownPerson.objects.filter(
            Q(name__isnull=False) | Q(hidden=True) | Q(cover_face__isnull=False)
        ).values_list("pk", flat=True)
    )
    said = FaceDecision.objects.filter(person__isnull=False).order_by()
    people |= {pk for pk in said.values_list("person_id", flat=True).distinct() if pk is not None}
    for end in ("person_id", "other_id"):
        people |= set(PersonDistinction.objects.values_list(end, flat=True))
    return people


def _decided(
    rows: list[Face], vectors: Vectors, people: Collection[int], same_person_from: float
) -> NDArray[np.int64]:
    """Who was given by a user stays, and so do the core faces of somebody decided, close to the middle."""
    decided = np.full(len(rows), NOBODY, dtype=np.int64)
    cores: dict[int, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row.known_person_id is None:
            continue
        if row.assigned_by == Face.AssignedBy.USER:
            decided[index] = row.known_person_id
        if row.known_person_id in people and row.standing == Face.Standing.CORE:
            cores[row.known_person_id].append(index)
    for person, indices in cores.items():
        middle = vectors[indices].sum(axis=0)
        close = vectors[indices] @ (middle / np.linalg.norm(middle)) >= same_person_from
        decided[np.array(indices)[close]] = person
    return decided


def _not_these(rows: list[Face]) -> dict[int, frozenset[int]]:
    said: dict[int, set[int]] = defaultdict(set)
    ruled_out = FaceDecision.objects.filter(verdict=FaceDecision.Verdict.IS_NOT, face__isnull=False)
    for face, person in ruled_out.values_list("face_id", "person_id"):
        said[face or 0].add(person or 0)
    return {index: frozenset(said[row.pk]) for index, row in enumerate(rows) if row.pk in said}


def _moves(
    rows: list[Face], partition: Partition, decided: NDArray[np.int64], decided_people: Collection[int]
) -> Iterable[Move]:
    people = _people_of_groups(rows, partition, decided, decided_people)
    for index, row in enumerate(rows):
        if row.assigned_by == Face.AssignedBy.USER:
            continue
        person = people.get(int(partition.groups[index]))
        standing = _standing(person, is_core=bool(partition.cores[index]))
        if (person, standing) != (row.known_person_id, row.standing):
            yield Move(row.pk, row.known_person_id, person, standing)


def _standing(person: int | None, *, is_core: bool) -> str:
    if person is None:
        return Face.Standing.WAITING
    return Face.Standing.CORE if is_core else Face.Standing.FOLLOWING


def _people_of_groups(
    rows: list[Face], partition: Partition, decided: NDArray[np.int64], decided_people: Collection[int]
) -> dict[int, int]:
    """A group is whom a user said it is, else whom most of its faces were given to, else somebody new."""
    people: dict[int, int] = {}
    shared: Counter[tuple[int, int]] = Counter()
    for index, row in enumerate(rows):
        group = int(partition.groups[index])
        if group == NOBODY:
            continue
        if decided[index] != NOBODY:
            people[group] = int(decided[index])
        elif row.known_person_id is not None and row.known_person_id not in decided_people:
            shared[group, row.known_person_id] += 1
    taken = set(people.values())
    for (group, person), _ in sorted(shared.items(), key=lambda each: (-each[1], each[0][1], each[0][0])):
        if group not in people and person not in taken:
            people[group] = person
            taken.add(person)
    nameless = {int(group) for group in partition.groups} - people.keys() - {NOBODY}
    return people | {group: -number for number, group in enumerate(sorted(nameless), 1)}


def _dropped(moves: Collection[Move], decided_people: Collection[int]) -> tuple[int, ...]:
    left: Counter[int] = Counter()
    losing = {move.person_before for move in moves if move.person_before is not None} - set(decided_people)
    held = Face.objects.filter(known_person__in=losing).order_by()
    left.update(pk for pk in held.values_list("known_person_id", flat=True) if pk is not None)
    for move in moves:
        if move.person != move.person_before:
            if move.person_before is not None:
                left[move.person_before] -= 1
            if move.person is not None:
                left[move.person] += 1
    return tuple(sorted(person for person in losing if left[person] == 0))


def is_stale(plan: Plan) -> bool:
    """Something has changed since it was made."""
    newer: Mapping[str, datetime] = {"recognised_at__gt": plan.made_at}
    return (
        PeopleOperation.objects.filter(pk__gt=plan.last_operation).exists()
        or Face.objects.filter(**newer).exists()
        or _moved_otherwise(plan)
    )


def _moved_otherwise(plan: Plan) -> bool:
    """Or gone: replaced by another detection, or removed."""
    expected = {move.face: move.person_before for move in plan.moves}
    now = dict(Face.objects.filter(pk__in=expected).values_list("pk", F("known_person_id")))
    return now != expected
