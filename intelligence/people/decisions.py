"""Operations on faces: who they are, and who they are not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from django.db.models import Q

from intelligence.models import Face, KnownPerson, PeopleOperation
from intelligence.people import lookup
from intelligence.people.errors import PeopleError
from intelligence.people.journal import IS, IS_NOT, Journal, written
from intelligence.people.words import called, faces_in_words

Kind = PeopleOperation.Kind


def confirm(*, face_ids: Collection[int], by: str | None) -> PeopleOperation:
    """They are who they are taken for."""
    with written(Kind.CONFIRM, by=by) as journal:
        faces = _locked(journal, face_ids)
        confirmed = _by_person(faces)
        journal.operation.people = [person.pk for person, _ in confirmed]
        for person, theirs in confirmed:
            _give(journal, theirs, person)
        journal.operation.summary = f"Confirmed {faces_in_words(faces)}"
    return journal.operation


def reject(*, face_ids: Collection[int], person_id: int | None = None, by: str | None) -> PeopleOperation:
    """They are not this person; without one: not who they are taken for."""
    with written(Kind.REJECT, by=by) as journal:
        faces = _locked(journal, face_ids)
        rejected = _by_person(faces) if person_id is None else [(lookup.person(person_id), faces)]
        journal.operation.people = [person.pk for person, _ in rejected]
        for person, theirs in rejected:
            journal.decide(theirs, person, IS_NOT)
            journal.give([face for face in theirs if face.known_person_id == person.pk], None, by_user=True)
        whom = " or ".join(called(person) for person, _ in rejected)
        journal.operation.summary = f"Said that {faces_in_words(faces)} is not {whom}"
    return journal.operation


def assign(
    *, face_ids: Collection[int], person_id: int | None, name: str | None = None, by: str | None
) -> PeopleOperation:
    """They are this person; without one, somebody new, who may have a name."""
    if person_id is not None and name:
        raise PeopleError("A name is for a new person; leave it out, or leave the person out.")
    with written(Kind.ASSIGN, by=by) as journal:
        faces = _locked(journal, face_ids)
        is_new = person_id is None
        person = journal.make_person(name=name or None) if person_id is None else lookup.person(person_id)
        journal.operation.people = [person.pk]
        _give(journal, faces, person)
        whom = f"somebody new, {called(person)}" if is_new else called(person)
        journal.operation.summary = f"Said that {faces_in_words(faces)} is {whom}"
    return journal.operation


def split(
    *, person_id: int, face_ids: Collection[int], name: str | None = None, by: str | None
) -> PeopleOperation:
    """These faces are somebody else: a new person, who is never joined with this one by the machine."""
    with written(Kind.SPLIT, by=by) as journal:
        faces = _locked(journal, face_ids)
        person = lookup.person(person_id)
        strangers = [face for face in faces if face.known_person_id != person.pk]
        if strangers:
            raise PeopleError(f"{faces_in_words(strangers)} is not of {called(person)}; assign it instead.")
        if not Face.objects.filter(known_person=person).exclude(pk__in=face_ids).exists():
            raise PeopleError(f"These are all faces of {called(person)}; leave at least one.")
        new = journal.make_person(name=name or None)
        journal.operation.people = [new.pk, person.pk]
        _give(journal, faces, new)
        journal.distinguish(person, new)
        journal.operation.summary = f"Split {faces_in_words(faces)} off {called(person)}, as {called(new)}"
    return journal.operation


def _locked(journal: Journal, face_ids: Collection[int]) -> list[Face]:
    """With those beside them, which may have to make way."""
    entities = Face.objects.filter(pk__in=face_ids).order_by().values("entity_id")
    around = journal.lock_faces(Q(entity_id__in=entities))
    faces = [face for face in around if face.pk in set(face_ids)]
    lookup.require_all(faces, face_ids)
    return faces


def _by_person(faces: Collection[Face]) -> list[tuple[KnownPerson, list[Face]]]:
    of: dict[int, list[Face]] = defaultdict(list)
    for face in faces:
        if face.known_person_id is None:
            raise PeopleError(f"Face {face.pk} is taken for nobody; name a person.")
        of[face.known_person_id].append(face)
    return [(person, of[person.pk]) for person in lookup.people(sorted(of))]


def _give(journal: Journal, faces: Collection[Face], person: KnownPerson) -> None:
    """Whom the machine took for the same person on the same image was somebody else."""
    journal.decide(faces, person, IS)
    beside = Face.objects.filter(
        entity_id__in={face.entity_id for face in faces},
        known_person=person,
        assigned_by=Face.AssignedBy.AUTO,
    )
    journal.give(list(beside.exclude(pk__in=[face.pk for face in faces])), None, by_user=False)
    journal.give(faces, person, by_user=True)
