"""Taking an operation back: every fact becomes what it was before, or nothing does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F, Q

from entities.models import Entity
from intelligence import hints, rows
from intelligence.models import (
    Face,
    FaceDecision,
    ImageIntelligence,
    KnownPerson,
    PeopleChange,
    PeopleOperation,
    PersonDistinction,
)
from intelligence.people.errors import ConflictError, UnknownError
from intelligence.people.facts import Fact, differing, fields_from
from intelligence.people.journal import Journal, written
from intelligence.people.standing_in_the_way import require_nothing_later
from intelligence.people.words import called
from intelligence.vocabulary import TaskType

Kind, Of = PeopleOperation.Kind, PeopleChange.Of


def undo(*, operation_id: int, by: str | None) -> PeopleOperation:
    """Raises ConflictError where later operations stand in the way. What has gone for good meanwhile, such
    as a removed photo, stays gone.
    """
    with written(Kind.UNDO, by=by) as journal:
        operation = PeopleOperation.objects.select_for_update(of=("self",)).filter(pk=operation_id).first()
        if operation is None:
            raise UnknownError("Operation not found")
        _require_undoable(operation)
        effects = effects_of(operation)
        made = [each.row for each in effects if each.of == Of.PERSON and each.before is None]
        about = {each.face for each in effects if each.face is not None}
        decided = [each.row for each in effects if each.of == Of.DECISION]
        faces = journal.lock_faces(
            Q(pk__in=about) | Q(known_person__in=made), decisions=Q(pk__in=decided) | Q(person__in=made)
        )
        require_nothing_later(operation, effects)
        _Restoration(journal, effects, {face.pk: face for face in faces}).run()
        journal.operation.undoes, journal.operation.people = operation, operation.people
        journal.operation.summary = f"Undid: {operation.summary}"
        journal.operation.save()  # also where all that it was about has gone meanwhile
    return journal.operation


def effects_of(operation: PeopleOperation) -> list[PeopleChange]:
    """One a fact: what it was before the operation, and what it was after."""
    found: dict[tuple[str, int], PeopleChange] = {}
    for change in operation.changes.order_by("pk"):
        key = (change.of, change.face if change.of == Of.FACE and change.face else change.row)
        if key in found:
            found[key].after = change.after
        else:
            found[key] = change
    return list(found.values())


def _require_undoable(operation: PeopleOperation) -> None:
    if operation.kind == Kind.UNDO:
        raise ConflictError(f"Operation {operation.pk} took another one back; take that step again instead.")
    undone = PeopleOperation.objects.filter(undoes=operation).first()
    if undone is not None:
        raise ConflictError(f"Operation {operation.pk} was undone already, by operation {undone.pk}.")


@dataclass(frozen=True)
class _Restoration:
    journal: Journal
    effects: list[PeopleChange]
    faces: dict[int, Face]
    """Those that are still there."""

    def run(self) -> None:
        self._bring_people_back()
        denied = self._now(Of.DECISION, FaceDecision, made=True)
        self.journal.drop(denied)
        self._bring_faces_back([each for each in denied if each.verdict == FaceDecision.Verdict.NO_FACE])
        self.journal.drop(self._now(Of.DISTINCTION, PersonDistinction, made=True))
        self._restore_faces()
        self._restore_decisions()
        self.journal.add(
            PersonDistinction(pk=each.row, **fields_from(each.before))
            for each in self._of(Of.DISTINCTION)
            if each.before is not None and each.after is None
        )
        self._restore_people()
        self._remove_people()

    def _of(self, of: PeopleChange.Of) -> list[PeopleChange]:
        return [each for each in self.effects if each.of == of]

    def _now(self, of: PeopleChange.Of, kind: type[Any], *, made: bool) -> list[Any]:
        """The rows that the operation made, or changed, as they are now."""
        ids = [each.row for each in self._of(of) if (each.before is None) == made and each.after is not None]
        return list(kind.objects.filter(pk__in=ids).order_by("pk"))

    def _bring_people_back(self) -> None:
        for each in self._of(Of.PERSON):
            if each.before is not None and each.after is None:
                fields = {**fields_from(each.before), "cover_face_id": None}  # until its faces are back
                self.journal.make_person(pk=each.row, **fields)

    def _bring_faces_back(self, denied: Collection[FaceDecision]) -> None:
        """Where it was said that there is none, and the image has the same content still."""
        about = {each.entity_id for each in denied}
        contents = dict(Entity.objects.filter(pk__in=about).values_list("pk", "md5"))
        images = {each.entity_id for each in denied if each.md5 == contents[each.entity_id]}
        gone = {each.face: each.before for each in self._of(Of.FACE) if each.after is None}
        wholes = {pk: whole for pk, whole in gone.items() if pk and whole and whole["entity_id"] in images}
        self._require_people({whole["known_person_id"] for whole in wholes.values()})
        for pk, whole in wholes.items():
            self.faces[pk] = self.journal.bring_face_back(pk, whole)
            ImageIntelligence.objects.filter(pk=whole["entity_id"]).update(face_count=F("face_count") + 1)
        if rows.make_pending(images, TaskType.FACE_DETECTION):
            transaction.on_commit(hints.dispatch)

    def _restore_faces(self) -> None:
        alike: dict[str, tuple[Fact, list[Face]]] = {}
        for each in self._of(Of.FACE):
            face = self.faces.get(each.face or 0)
            if face is not None and each.before is not None and each.after is not None:
                alike.setdefault(repr(each.before), (each.before, []))[1].append(face)
        self._require_people({before["known_person_id"] for before, _ in alike.values()})
        for before, faces in alike.values():
            self.journal.set_faces(faces, **before)

    def _require_people(self, ids: Collection[int | None]) -> None:
        wanted = {pk for pk in ids if pk is not None}
        missing = wanted - set(KnownPerson.objects.filter(pk__in=wanted).values_list("pk", flat=True))
        if missing:
            raise ConflictError(f"Person {min(missing)} is not there any more: this cannot go back.")

    def _restore_decisions(self) -> None:
        changed = [each for each in self._of(Of.DECISION) if each.before is not None]
        images = {each.before["entity_id"] for each in changed if each.before is not None}
        there = set(Entity.objects.filter(pk__in=images).values_list("pk", flat=True))
        decisions = FaceDecision.objects.in_bulk([each.row for each in changed])
        self._require_people({each.before["person_id"] for each in changed if each.before is not None})
        for each in changed:
            assert each.before is not None
            if each.row in decisions:
                self.journal.rewrite(decisions[each.row], **_differences(each))
            elif each.after is None and each.before["entity_id"] in there:
                face_id = each.face if each.face in self.faces else None
                fields = fields_from(each.before)
                self.journal.add([FaceDecision(pk=each.row, face_id=face_id, **fields)])

    def _restore_people(self) -> None:
        people = KnownPerson.objects.in_bulk([each.row for each in self._of(Of.PERSON)])
        for each in self._of(Of.PERSON):
            if each.before is None or each.row not in people:
                continue
            fields = _differences(each)
            cover = fields.get("cover_face_id")
            if cover is not None and not Face.objects.filter(pk=cover, known_person=each.row).exists():
                fields["cover_face_id"] = None
            self.journal.set_person(people[each.row], **fields)

    def _remove_people(self) -> None:
        """Whoever the operation made. Faces that the machine gave them since are looked at again."""
        made = [each.row for each in self._of(Of.PERSON) if each.before is None]
        left = Face.objects.filter(known_person__in=made).order_by("pk")
        by_person: dict[int | None, list[Face]] = defaultdict(list)
        for face in left:
            by_person[face.known_person_id].append(face)
        for person in KnownPerson.objects.filter(pk__in=made):
            _require_no_decisions(person, by_person[person.pk])
            self.journal.give(by_person[person.pk], None, by_user=False)
            person.refresh_from_db()
            self.journal.remove_person(person)


def _differences(change: PeopleChange) -> dict[str, Any]:
    """The fields that the operation has changed, as they were before."""
    assert change.before is not None
    names = differing(change.before, change.after)
    return {name: value for name, value in fields_from(change.before).items() if name in names}


def _require_no_decisions(person: KnownPerson, faces: Iterable[Face]) -> None:
    mine = PersonDistinction.objects.filter(Q(person=person) | Q(other=person))
    decided = [face for face in faces if face.assigned_by == Face.AssignedBy.USER]
    if decided or mine.exists() or FaceDecision.objects.filter(person=person).exists():
        raise ConflictError(
            f"Since then more was decided about {called(person)}, who would go; take that back first."
        )
