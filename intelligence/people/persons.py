"""Operations on whole persons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from django.db.models import Q

from intelligence.models import Face, FaceDecision, KnownPerson, PeopleOperation, PersonDistinction
from intelligence.people import lookup
from intelligence.people.errors import PeopleError
from intelligence.people.journal import IS, IS_NOT, Journal, written
from intelligence.people.words import called, people_in_words

Kind = PeopleOperation.Kind


def rename(*, person_id: int, name: str | None, by: str | None) -> PeopleOperation:
    """None takes the name away."""
    with written(Kind.RENAME, by=by) as journal:
        person = lookup.person(person_id)
        journal.operation.people = [person.pk]
        before = called(person)
        journal.set_person(person, name=name or None)
        journal.operation.summary = f"Named {before} {name}" if name else f"Took the name of {before} away"
    return journal.operation


def set_hidden(*, person_id: int, hidden: bool, by: str | None) -> PeopleOperation:
    with written(Kind.HIDE, by=by) as journal:
        person = lookup.person(person_id)
        journal.operation.people = [person.pk]
        journal.set_person(person, hidden=hidden)
        journal.operation.summary = f"{'Hid' if hidden else 'Showed'} {called(person)}"
    return journal.operation


def set_cover(*, person_id: int, face_id: int | None, by: str | None) -> PeopleOperation:
    """None: the best face covers the person again."""
    with written(Kind.COVER, by=by) as journal:
        faces = journal.lock_faces(Q(pk=face_id)) if face_id is not None else []
        person = lookup.person(person_id)
        journal.operation.people = [person.pk]
        if face_id is not None:
            lookup.require_all(faces, [face_id])
            if faces[0].known_person_id != person.pk:
                raise PeopleError(f"Face {face_id} is not one of {called(person)}; assign it first.")
        journal.set_person(person, cover_face_id=face_id)
        which = "the best face" if face_id is None else f"face {face_id}"
        journal.operation.summary = f"Made {which} the cover of {called(person)}"
    return journal.operation


def distinguish(*, person_id: int, other_id: int, by: str | None) -> PeopleOperation:
    """They are not the same: no machine step joins them from now on."""
    if person_id == other_id:
        raise PeopleError("A person cannot be told apart from themselves; name two.")
    with written(Kind.DISTINGUISH, by=by) as journal:
        person, other = lookup.people([person_id, other_id])
        journal.operation.people = [person.pk, other.pk]
        journal.distinguish(person, other)
        journal.operation.summary = f"Said that {called(person)} is not {called(other)}"
    return journal.operation


def merge(*, survivor_id: int, other_ids: Sequence[int], by: str | None) -> PeopleOperation:
    """They are all the same person: whoever says so has said it of each face that they have at the time.

    Only where two of them are on one image nothing is said of those that nobody had confirmed.
    """
    if not other_ids or survivor_id in other_ids:
        raise PeopleError("Name one person who stays, and at least one other who is the same.")
    with written(Kind.MERGE, by=by) as journal:
        everyone = [survivor_id, *other_ids]
        faces = journal.lock_faces(Q(known_person__in=everyone), decisions=Q(person__in=everyone))
        survivor, *others = lookup.people(everyone)
        numbers = Counter(face.known_person_id for face in faces)
        moved = sum(numbers[other.pk] for other in others)
        journal.operation.summary = (
            f"Merged {people_in_words(others)} ({moved} faces) into {called(survivor)} "
            f"({numbers[survivor.pk]} faces)"
        )
        journal.operation.people = [survivor.pk, *(other.pk for other in others)]
        _merge(journal, survivor, others, faces)
    return journal.operation


def _merge(
    journal: Journal, survivor: KnownPerson, others: Sequence[KnownPerson], faces: Collection[Face]
) -> None:
    inherited = {
        "name": next((each.name for each in (survivor, *others) if each.name), None),
        "cover_face_id": next(
            (each.cover_face_id for each in (survivor, *others) if each.cover_face_id), None
        ),
    }
    _pass_decisions_on(journal, survivor, others, {face.pk for face in faces})
    _pass_distinctions_on(journal, survivor, others)
    crowded = {entity for entity, number in Counter(f.entity_id for f in faces).items() if number > 1}
    alone = [face for face in faces if face.entity_id not in crowded]
    journal.decide(alone, survivor, IS)
    journal.set_faces(alone, known_person_id=survivor.pk, assigned_by=Face.AssignedBy.USER)
    journal.set_faces(faces, known_person_id=survivor.pk)
    journal.set_person(survivor, **inherited)
    for other in others:
        other.refresh_from_db()  # its cover has gone with its faces
        journal.remove_person(other)


def _pass_decisions_on(
    journal: Journal, survivor: KnownPerson, others: Sequence[KnownPerson], face_ids: set[int]
) -> None:
    """Of the faces that are the person's now, nobody says any more that they are not."""
    everyone = [survivor, *others]
    contrary = FaceDecision.objects.filter(person__in=everyone, verdict=IS_NOT, face__isnull=False)
    journal.drop(decision for decision in contrary if decision.face_id in face_ids)
    said = {
        decision.face_id
        for decision in FaceDecision.objects.filter(person=survivor)
        if decision.face_id is not None
    }
    for decision in FaceDecision.objects.filter(person__in=others).order_by("pk"):
        if decision.face_id in said:
            journal.drop([decision])
            continue
        journal.rewrite(decision, person_id=survivor.pk)
        if decision.face_id is not None:
            said.add(decision.face_id)


def _pass_distinctions_on(journal: Journal, survivor: KnownPerson, others: Sequence[KnownPerson]) -> None:
    everyone = {survivor.pk, *(other.pk for other in others)}
    gone = PersonDistinction.objects.filter(Q(person__in=others) | Q(other__in=others))
    apart = {pk for row in gone for pk in (row.person_id, row.other_id)} - everyone
    journal.drop(gone)
    between = Q(person=survivor, other__in=everyone) | Q(other=survivor, person__in=everyone)
    journal.drop(PersonDistinction.objects.filter(between))
    for third in KnownPerson.objects.filter(pk__in=apart):
        journal.distinguish(survivor, third)
