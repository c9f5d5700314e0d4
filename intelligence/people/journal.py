"""Changing what is known of people, and noting of each fact what it was and what it is: so it can go back.

One operation at a time, whoever takes it: recognition waits as well, and nothing it goes by moves under it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Q

from entities import locks
from entities.models import Entity
from intelligence import hints, marks, rows
from intelligence.models import (
    Face,
    FaceDecision,
    KnownPerson,
    PeopleChange,
    PeopleOperation,
    PersonDistinction,
)
from intelligence.people.facts import Fact, Row, fact_of, fields_from, kind_of, whole_of

LOCK = "intelligence.people"
"""Taken before all others: who holds an entity, or a person, never waits for it."""

IS, IS_NOT = FaceDecision.Verdict.IS, FaceDecision.Verdict.IS_NOT


@dataclass
class Journal:
    operation: PeopleOperation
    _changes: list[PeopleChange] = field(default_factory=list)
    _moved_on: set[int] = field(default_factory=set)
    """Entities whose people are others now."""

    @property
    def by(self) -> str | None:
        return self.operation.by

    def lock_faces(self, which: Q, *, decisions: Q | None = None) -> list[Face]:
        """With the images they are on, and those of `decisions`: no detection replaces the faces, or finds
        them again, until this is committed.
        """
        chosen = Face.objects.filter(which).order_by("pk")
        images = set(chosen.order_by().values_list("entity_id", flat=True))
        if decisions is not None:
            images |= set(FaceDecision.objects.filter(decisions).values_list("entity_id", flat=True))
        rows.lock_entities(images)
        return list(chosen.select_for_update(no_key=True))

    # --- Faces ---

    def give(self, faces: Iterable[Face], person: KnownPerson | None, *, by_user: bool) -> None:
        """To nobody: then recognition looks at them again."""
        if person is None:
            self.set_faces(faces, known_person_id=None, assigned_by=None, standing=None)
        elif by_user:
            self.set_faces(
                faces,
                known_person_id=person.pk,
                assigned_by=Face.AssignedBy.USER,
                standing=Face.Standing.CORE,  # a user's word is evidence enough
            )
        else:
            self.set_faces(faces, known_person_id=person.pk)

    def set_faces(self, faces: Iterable[Face], **fields: Any) -> None:
        changed = [face for face in faces if any(getattr(face, n) != v for n, v in fields.items())]
        if not changed:
            return
        moved = [
            face
            for face in changed
            if face.known_person_id != fields.get("known_person_id", face.known_person_id)
        ]
        self._uncover(moved)
        for face in changed:
            before = fact_of(face)
            for name, value in fields.items():
                setattr(face, name, value)
            self.note(face, before, fact_of(face))
        ids = [face.pk for face in changed]
        Face.objects.filter(pk__in=ids).update(**fields, **_unseen_if_free(fields))
        self._moved_on.update(face.entity_id for face in moved)
        _look_again_beside(ids)

    def _uncover(self, faces: Collection[Face]) -> None:
        """Who has moved on covers nobody."""
        for person in KnownPerson.objects.filter(cover_face__in=[face.pk for face in faces]):
            self.set_person(person, cover_face_id=None)

    def remove_face(self, face: Face) -> None:
        """With what was said of it. Its crop and its vector are the caller's to remove."""
        self._uncover([face])
        self.drop(FaceDecision.objects.filter(face=face))
        self.note(face, whole_of(face), None)
        face.delete()

    def bring_face_back(self, pk: int, whole: Fact) -> Face:
        """Without crop and vector, which are gone: looking at the image again makes them anew."""
        face = Face(pk=pk, **fields_from(whole))
        face.save(force_insert=True)
        self.note(face, None, whole_of(face))
        self._moved_on.add(face.entity_id)
        return face

    # --- People ---

    def make_person(self, **fields: Any) -> KnownPerson:
        person = KnownPerson(**fields)
        self._save(person, force_insert=True)
        self.note(person, None, fact_of(person))
        return person

    def set_person(self, person: KnownPerson, **fields: Any) -> None:
        """What the person has already makes no new version."""
        before = fact_of(person)
        for name, value in fields.items():
            setattr(person, name, value)
        if before != (after := fact_of(person)):
            self._save(person, update_fields=[*fields, "updated_at"])
            self.note(person, before, after)

    def remove_person(self, person: KnownPerson) -> None:
        """Whose faces, decisions and distinctions have gone elsewhere."""
        self.note(person, fact_of(person), None)
        self._sign(person)
        person.delete()

    def _save(self, person: KnownPerson, **how: Any) -> None:
        self._sign(person)
        person.save(**how)

    def _sign(self, person: KnownPerson) -> None:
        # simple_history's way to say who.
        person._history_user = self.by  # type: ignore[attr-defined]  # noqa: SLF001

    # --- Decisions ---

    def decide(self, faces: Collection[Face], person: KnownPerson, verdict: FaceDecision.Verdict) -> None:
        """Takes back what says otherwise."""
        made = FaceDecision.objects.filter(face__in=[face.pk for face in faces])
        contrary = Q(person=person) & ~Q(verdict=verdict)
        if verdict == IS:
            contrary |= Q(verdict=IS) & ~Q(person=person)
        self.drop(made.filter(contrary))
        said = set(made.filter(person=person, verdict=verdict).values_list("face_id", flat=True))
        md5s = dict(Entity.objects.filter(pk__in={face.entity_id for face in faces}).values_list("pk", "md5"))
        self.add(
            FaceDecision(
                entity_id=face.entity_id,
                md5=md5s.get(face.entity_id) or "",
                face=face,
                bbox=face.bbox,
                person=person,
                verdict=verdict,
                decided_by=self.by,
            )
            for face in faces
            if face.pk not in said
        )

    def distinguish(self, person: KnownPerson, other: KnownPerson) -> None:
        first, second = sorted((person.pk, other.pk))
        if not PersonDistinction.objects.filter(person=first, other=second).exists():
            self.add([PersonDistinction(person_id=first, other_id=second, decided_by=self.by)])

    def add(self, made: Iterable[FaceDecision] | Iterable[PersonDistinction]) -> None:
        by_kind: dict[type[Any], list[Any]] = defaultdict(list)
        for row in made:
            by_kind[type(row)].append(row)
        for kind, of_kind in by_kind.items():
            for row in kind.objects.bulk_create(of_kind, batch_size=1000):
                self.note(row, None, fact_of(row))

    def drop(self, found: Iterable[FaceDecision] | Iterable[PersonDistinction]) -> None:
        by_kind: dict[type[Any], list[Any]] = defaultdict(list)
        for row in found:
            by_kind[type(row)].append(row)
        for kind, of_kind in by_kind.items():
            for row in of_kind:
                self.note(row, fact_of(row), None)
            kind.objects.filter(pk__in=[row.pk for row in of_kind]).delete()

    def rewrite(self, row: FaceDecision | PersonDistinction, **fields: Any) -> None:
        before = fact_of(row)
        for name, value in fields.items():
            setattr(row, name, value)
        row.save(update_fields=list(fields))
        self.note(row, before, fact_of(row))

    # --- Writing it down ---

    def note(self, row: Row, before: Fact | None, after: Fact | None) -> None:
        face = row.pk if isinstance(row, Face) else getattr(row, "face_id", None)
        self._changes.append(PeopleChange(of=kind_of(row), row=row.pk, face=face, before=before, after=after))

    def touch(self, entity_ids: Iterable[int]) -> None:
        self._moved_on.update(entity_ids)

    def close(self) -> None:
        if not self._changes:
            return  # it is so already
        self.operation.save()
        for change in self._changes:
            change.operation = self.operation
        PeopleChange.objects.bulk_create(self._changes, batch_size=1000)
        marks.note(self._moved_on)
        transaction.on_commit(hints.recognise)


@contextmanager
def written(kind: PeopleOperation.Kind, *, by: str | None) -> Iterator[Journal]:
    """The operation has an id afterwards, unless nothing was changed."""
    with transaction.atomic():
        locks.hold(LOCK)
        journal = Journal(PeopleOperation(kind=kind, by=by))
        yield journal
        journal.close()


def _unseen_if_free(fields: dict[str, Any]) -> dict[str, None]:
    free = "known_person_id" in fields and fields["known_person_id"] is None
    return {"recognised_with": None} if free and fields.get("standing") is None else {}


def _look_again_beside(face_ids: Collection[int]) -> None:
    """Faces that wait, and were found to be like one of these."""
    waiting = Face.objects.filter(standing=Face.Standing.WAITING, matches__matched_face__in=face_ids)
    Face.objects.filter(pk__in=waiting.values("pk")).update(recognised_with=None)
