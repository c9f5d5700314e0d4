"""Gives faces to people as their vectors come.

Everything happens under the lock of people: of two photos of somebody new that arrive at once, the second is
looked at when the first has made the person. A face to be looked at says so in its row (`recognised_with` is
not the current model), so that a hint that is lost costs time and no more.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from entities import locks
from intelligence import marks, rows, visibility
from intelligence.models import EntityJob, Face, FaceDecision, FaceMatch, KnownPerson
from intelligence.people.journal import IS, IS_NOT, LOCK
from intelligence.recognition.deciding import (
    Known,
    Memory,
    Outcome,
    Role,
    Seen,
    decide_photo,
    heard_by,
)
from intelligence.recognition.rules import Rules
from intelligence.retrieval import NOT_HIDDEN
from intelligence.vocabulary import JobStatus, TaskType
from intelligence.wanted_models import WantedModels
from vectors import QdrantVectorStore

BATCH_SIZE = 64
"""Faces in one transaction: on SQLite, other writers wait for it."""
NEIGHBOURS = 30
SECONDS = 2.0
"""What is left after so long is for the next task: results of fresh uploads get their turn between."""
EVIDENCE_KEPT = 10
"""Of each face, the closest."""

Neighbours = dict[int, list[tuple[int, float]]]

# With bulk_update and bulk_create, putting the statements together takes longer than all searches.
_GIVE = "UPDATE intelligence_face SET known_person_id = %s, assigned_by = %s, standing = %s WHERE id = %s"
_NOTE = """
INSERT INTO intelligence_facematch
(face_id, matched_face_id, similarity, threshold, model, rule, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s)
"""


class _Face(NamedTuple):
    """What is read of a face. There are thirty of them for each that is looked at: too many for models."""

    pk: int
    photo: int
    quality: float
    person: int | None
    standing: str | None
    assigned_by: str | None
    recognised_with: str | None
    is_deleted: bool
    parent: int | None

    @property
    def role(self) -> Role | None:
        return None if self.standing is None else Role(self.standing)

    def spoke_for(self, model: str) -> int | None:
        """What only another model has seen in it, or nobody yet, others have not heard."""
        has_spoken = self.role is Role.CORE and self.recognised_with == model
        return self.person if has_spoken else None


_COLUMNS = (
    "pk",
    "entity_id",
    "quality",
    "known_person_id",
    "standing",
    "assigned_by",
    "recognised_with",
    "entity__is_deleted",
    "entity__parent_id",
)


@dataclass(frozen=True)
class Calibration:
    model: str
    rules: Rules


def calibration(models: WantedModels) -> Calibration | None:
    """Of the model that is read; None where it recognises nobody, or compute does not say."""
    name = models.stores[TaskType.FACE_EMBEDDING].current_model()
    offered = models.client.capabilities().offered(TaskType.FACE_EMBEDDING)
    told = offered.get(name or "")
    if told is None or told.same_person_from is None:
        return None
    return Calibration(told.name, Rules(told.same_person_from))


@dataclass(frozen=True)
class Recogniser:
    models: WantedModels
    store: QdrantVectorStore

    def recognise(self, seconds: float = SECONDS) -> bool:
        """True where some are left: the time was too short for them."""
        deadline = time.monotonic() + seconds
        passed_over: set[int] = set()
        while self._recognise_some(passed_over):
            if time.monotonic() > deadline:
                return True
        return False

    @transaction.atomic
    def _recognise_some(self, passed_over: set[int]) -> bool:
        """Adds to `passed_over` whose vector is not there: the audit of vectors asks for it again."""
        locks.hold(LOCK)
        calibrated = calibration(self.models)
        if calibrated is None:
            return False
        waiting = _to_be_looked_at(calibrated.model, passed_over)
        if not waiting:
            return False
        asked = waiting | _given_by_the_machine_beside(waiting)
        neighbours = self._neighbours(asked, calibrated)
        passed_over |= waiting - neighbours.keys()
        if waiting & neighbours.keys():
            _Batch(calibrated, neighbours).run()
        return True

    def _neighbours(self, face_ids: Collection[int], calibrated: Calibration) -> Neighbours:
        """Of those that have a vector, the closest first."""
        found = self.store.search_like_each(
            sorted(face_ids),
            limit=NEIGHBOURS,
            score_threshold=calibrated.rules.same_person_from,
            filter=NOT_HIDDEN,
            model=calibrated.model,
        )
        return {face: [(hit.id, hit.score) for hit in hits] for face, hits in found.items()}


def _to_be_looked_at(model: str, passed_over: Collection[int]) -> set[int]:
    """First those that nobody has looked at, then those that were looked at by another model."""
    found: set[int] = set()
    for unseen in (
        Q(recognised_with__isnull=True),
        Q(recognised_with__lt=model),
        Q(recognised_with__gt=model),
    ):
        if len(found) < BATCH_SIZE:
            faces = _with_vector(model).filter(unseen).exclude(pk__in=passed_over)
            ordered = faces.order_by("recognised_with", "pk").values_list("pk", flat=True)
            found.update(ordered[: BATCH_SIZE - len(found)])
    return found


def _with_vector(model: str) -> QuerySet[Face]:
    embedded = EntityJob.objects.filter(
        face=OuterRef("pk"),
        task_type=TaskType.FACE_EMBEDDING,
        model=model,
        status=JobStatus.COMPLETED,
    )
    return Face.objects.filter(Exists(embedded), entity__is_deleted=False)


def _given_by_the_machine_beside(face_ids: Collection[int]) -> set[int]:
    """On the same photos: they may have to make way for one that is closer."""
    photos = Face.objects.filter(pk__in=face_ids).order_by().values("entity_id")
    beside = Face.objects.filter(entity_id__in=photos, assigned_by=Face.AssignedBy.AUTO)
    return set(beside.order_by().values_list("pk", flat=True))


class _Batch:
    """What one transaction looks at. The images of all faces are locked: none is replaced meanwhile."""

    def __init__(self, calibrated: Calibration, neighbours: Neighbours) -> None:
        self.model, self.rules = calibrated.model, calibrated.rules
        self.neighbours = neighbours
        near = {face for each in neighbours.values() for face, _ in each}
        self.faces = _locked(near | neighbours.keys())
        self.looked_at = [face for pk, face in sorted(self.faces.items()) if pk in neighbours]
        self.memory = _memory(self.faces, near, self.looked_at, self.rules)

    def run(self) -> None:
        outcomes = self._decide()
        people = {number: _new_person() for number in sorted(_new(outcomes), reverse=True)}
        given = {
            outcome.face: people[outcome.person].pk if outcome.person in people else outcome.person
            for outcome in outcomes
        }
        self._give(outcomes, given)
        _uncover(outcome.face for outcome in outcomes)
        self._write_evidence(outcomes)
        heard = heard_by(outcomes, self.memory) - {outcome.face for outcome in outcomes}
        Face.objects.filter(pk__in=heard).update(recognised_with=None)
        marks.note(self.faces[pk].photo for pk, person in given.items() if person != self.faces[pk].person)

    def _give(self, outcomes: Sequence[Outcome], given: Mapping[int, int | None]) -> None:
        looked_at = Face.objects.filter(pk__in=given)
        looked_at.update(recognised_with=self.model, recognised_at=timezone.now())
        changed = []
        for outcome in outcomes:
            face, person = self.faces[outcome.face], given[outcome.face]
            by = face.assigned_by
            if person != face.person:
                by = None if person is None else Face.AssignedBy.AUTO.value
            if (person, by, outcome.role) != (face.person, face.assigned_by, face.standing):
                changed.append((person, by, outcome.role.value, face.pk))
        with connection.cursor() as cursor:
            cursor.executemany(_GIVE, changed)

    def _decide(self) -> list[Outcome]:
        photos: dict[int, list[_Face]] = defaultdict(list)
        for face in self.looked_at:
            photos[face.photo].append(face)
        said_is, said_is_not = _said([face.pk for face in self.looked_at])
        taken = _taken_on(photos, but=[face.pk for face in self.looked_at])
        return [
            outcome
            for photo, faces in photos.items()
            for outcome in decide_photo(
                photo,
                [self._seen(face, said_is, said_is_not[face.pk]) for face in faces],
                self.memory,
                self.rules,
                taken[photo],
            )
        ]

    def _seen(self, face: _Face, said_is: dict[int, int], not_these: frozenset[int]) -> Seen:
        return Seen(
            face.pk,
            face.quality,
            self.neighbours[face.pk],
            person=said_is.get(face.pk, face.person),
            role=face.role,
            spoke_for=face.spoke_for(self.model),
            is_fixed=face.pk in said_is or face.assigned_by == Face.AssignedBy.USER,
            not_these=not_these,
        )

    def _write_evidence(self, outcomes: Sequence[Outcome]) -> None:
        looked_at = [outcome.face for outcome in outcomes]
        FaceMatch.objects.filter(face__in=looked_at, model=self.model).delete()
        now = connection.ops.adapt_datetimefield_value(timezone.now())
        found = [
            (pk, each.face, each.similarity, each.needed, self.model, each.speech.value, now)
            for pk, evidence in ((outcome.face, outcome.evidence) for outcome in outcomes)
            for each in evidence[:EVIDENCE_KEPT]
        ]
        with connection.cursor() as cursor:
            cursor.executemany(_NOTE, found)


def _locked(face_ids: Collection[int]) -> dict[int, _Face]:
    """Those that are still there, and will be until this is committed."""
    there = Face.objects.filter(pk__in=face_ids).order_by()
    if connection.features.has_select_for_update:  # else nobody else writes anyway
        rows.lock_entities(there.values_list("entity_id", flat=True))
    return {row[0]: _Face(*row) for row in there.values_list(*_COLUMNS)}


def _memory(
    faces: Mapping[int, _Face], near: Collection[int], looked_at: Collection[_Face], rules: Rules
) -> Memory:
    """Faces in the trash, or below a collection that is there, do not speak."""
    live = {pk: face.parent for pk, face in faces.items() if pk in near and not face.is_deleted}
    shown = visibility.below_no_trash(live)
    known = {
        pk: Known(face.photo, face.quality, face.person, face.role)
        for pk, face in faces.items()
        if pk in shown
    }
    return Memory(known, _cores(known, {face.pk for face in looked_at}, rules))


def _cores(known: Mapping[int, Known], looked_at: Collection[int], rules: Rules) -> Counter[int]:
    """How many speak for each person. Only few are ever asked for: where those at hand are enough, whatever
    becomes of the faces that are looked at, the others are not counted.
    """
    cores = Counter(each.person for each in known.values() if each.speaks and each.person is not None)
    steady = Counter(
        each.person
        for pk, each in known.items()
        if each.speaks and each.person is not None and pk not in looked_at
    )
    people = {each.person for each in known.values() if each.person is not None}
    few = [person for person in people if steady[person] < max(rules.support, rules.strongest)]
    speaking = Face.objects.filter(
        known_person__in=few, standing=Face.Standing.CORE, entity__is_deleted=False
    )
    counted = speaking.order_by().values_list("known_person_id").annotate(Count("pk"))
    for person, number in counted:
        if person is not None:
            cores[person] = number
    return cores


def _said(face_ids: Collection[int]) -> tuple[dict[int, int], dict[int, frozenset[int]]]:
    """What users said: who each face is, and who it is not."""
    said_is: dict[int, int] = {}
    said_is_not: dict[int, set[int]] = defaultdict(set)
    decisions = FaceDecision.objects.filter(face__in=face_ids, person__isnull=False)
    for face, person, verdict in decisions.values_list("face_id", "person_id", "verdict"):
        if face is not None and person is not None:
            if verdict == IS:
                said_is[face] = person
            elif verdict == IS_NOT:
                said_is_not[face].add(person)
    return said_is, {face: frozenset(said_is_not[face]) for face in face_ids}


def _taken_on(photos: Collection[int], but: Collection[int]) -> dict[int, set[int]]:
    taken: dict[int, set[int]] = {photo: set() for photo in photos}
    others = Face.objects.filter(entity_id__in=photos, known_person__isnull=False).exclude(pk__in=but)
    for photo, person in others.order_by().values_list("entity_id", "known_person_id"):
        if person is not None:
            taken[photo].add(person)
    return taken


def _new(outcomes: Sequence[Outcome]) -> set[int]:
    return {each.person for each in outcomes if each.person is not None and each.person < 0}


def _new_person() -> KnownPerson:
    return KnownPerson.objects.create()


def _uncover(face_ids: Iterator[int]) -> None:
    """Who has moved on covers nobody."""
    covered = KnownPerson.objects.filter(cover_face__in=list(face_ids)).select_related("cover_face")
    for person in covered:
        if person.cover_face is not None and person.cover_face.known_person_id != person.pk:
            person.cover_face = None
            person.save(update_fields=["cover_face", "updated_at"])
