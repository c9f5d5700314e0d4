from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from entities.storage import EntityStorageService
from intelligence import faces, people
from intelligence.models import Face, FaceDecision, KnownPerson, PeopleOperation
from tests.intelligence.people.conftest import Library
from tests.intelligence.people.facts import everything
from vectors import get_face_store

pytestmark = pytest.mark.django_db

OPERATIONS: dict[str, Callable[[KnownPerson, KnownPerson, list[int]], PeopleOperation]] = {
    "confirm": lambda ada, bob, faces: people.confirm(face_ids=faces, by="me"),
    "reject": lambda ada, bob, faces: people.reject(face_ids=faces, by="me"),
    "assign": lambda ada, bob, faces: people.assign(face_ids=faces, person_id=bob.pk, by="me"),
    "assign to somebody new": lambda ada, bob, faces: people.assign(face_ids=faces, person_id=None, by="me"),
    "split": lambda ada, bob, faces: people.split(person_id=ada.pk, face_ids=faces, by="me"),
    "merge": lambda ada, bob, faces: people.merge(survivor_id=bob.pk, other_ids=[ada.pk], by="me"),
    "merge the other way": lambda ada, bob, faces: people.merge(
        survivor_id=ada.pk, other_ids=[bob.pk], by="me"
    ),
    "distinguish": lambda ada, bob, faces: people.distinguish(person_id=ada.pk, other_id=bob.pk, by="me"),
    "rename": lambda ada, bob, faces: people.rename(person_id=ada.pk, name="Ada Lovelace", by="me"),
    "hide": lambda ada, bob, faces: people.set_hidden(person_id=ada.pk, hidden=True, by="me"),
    "remove a face": lambda ada, bob, faces: remove(faces[0]),
    "remove another": lambda ada, bob, faces: remove(faces[1]),
    "cover": lambda ada, bob, faces: people.set_cover(person_id=ada.pk, face_id=faces[1], by="me"),
}


def remove(face_id: int) -> PeopleOperation:
    storage = EntityStorageService.from_settings()
    faces.remove(face_id=face_id, storage=storage, store=get_face_store(), by="me")
    return PeopleOperation.objects.latest("pk")


def furnish(library: Library) -> tuple[KnownPerson, KnownPerson, list[int]]:
    """Two people with decisions of all kinds about them, and two of the first one's faces."""
    ada, bob, eve = (library.person(name, faces=4) for name in ("Ada", None, "Eve"))
    of_ada = list(Face.objects.filter(known_person=ada))
    of_bob = list(Face.objects.filter(known_person=bob))
    ada.cover_face = of_ada[0]
    ada.save()
    people.confirm(face_ids=[of_ada[0].pk, of_bob[0].pk], by="one")
    people.reject(face_ids=[of_ada[1].pk], person_id=bob.pk, by="one")
    people.reject(face_ids=[of_ada[3].pk], person_id=eve.pk, by="one")
    people.distinguish(person_id=bob.pk, other_id=eve.pk, by="one")
    FaceDecision.objects.create(  # of a face that no detection has found again
        entity=of_bob[2].entity, md5="x", bbox={}, person=bob, verdict="is_not"
    )
    Face.objects.filter(pk=of_ada[2].pk).update(standing="following")
    return ada, bob, [of_ada[0].pk, of_ada[1].pk]


@pytest.mark.parametrize("name", OPERATIONS)
def test_everything_is_as_it_was(library: Library, name: str) -> None:
    ada, bob, faces = furnish(library)
    before = everything()
    operation = OPERATIONS[name](ada, bob, faces)
    assert everything() != before

    undone = people.undo(operation_id=operation.pk, by="you")

    assert everything() == before
    assert (undone.kind, undone.by, undone.undoes_id) == ("undo", "you", operation.pk)
    assert undone.summary == f"Undid: {operation.summary}"


@pytest.mark.parametrize("seed", range(8))
def test_any_number_of_steps_can_be_walked_back(library: Library, seed: int) -> None:
    dice = random.Random(seed)
    furnish(library)
    for _ in range(5):
        library.person(faces=2)
    walked = []
    for _ in range(8):
        states = everything()
        operation = random_step(dice)
        if operation is not None and operation.pk is not None:
            walked.append((operation, states))
    assert len(walked) > 3

    for operation, before in reversed(walked):
        people.undo(operation_id=operation.pk, by="you")
        assert everything() == before


def random_step(dice: random.Random) -> PeopleOperation | None:
    persons = list(KnownPerson.objects.order_by("pk"))
    ada, bob = dice.sample(persons, 2)
    faces = list(Face.objects.filter(known_person=ada).values_list("pk", flat=True))[:2]
    name = dice.choice(list(OPERATIONS))
    try:
        return OPERATIONS[name](ada, bob, faces)
    except (people.PeopleError, IndexError):
        return None  # such a step makes no sense here


def test_what_came_later_stands_in_the_way(library: Library) -> None:
    ada, bob = library.person("Ada", faces=2), library.person("Bob", faces=2)
    face = Face.objects.filter(known_person=bob)[0]
    merged = people.merge(survivor_id=ada.pk, other_ids=[bob.pk], by="me")
    rejected = people.reject(face_ids=[face.pk], by="me")
    state = everything()

    with pytest.raises(people.ConflictError, match=f"Operation {rejected.pk} came later .*Undo that first"):
        people.undo(operation_id=merged.pk, by="me")

    assert everything() == state
    people.undo(operation_id=rejected.pk, by="me")
    people.undo(operation_id=merged.pk, by="me")
    assert KnownPerson.objects.get(pk=bob.pk).name == "Bob"


def test_what_concerns_others_does_not(library: Library) -> None:
    ada, bob, eve = (library.person(name, faces=2) for name in ("Ada", "Bob", "Eve"))
    merged = people.merge(survivor_id=ada.pk, other_ids=[bob.pk], by="me")
    people.rename(person_id=ada.pk, name="Ada Lovelace", by="me")
    people.confirm(face_ids=[Face.objects.filter(known_person=eve)[0].pk], by="me")

    people.undo(operation_id=merged.pk, by="me")

    assert set(KnownPerson.objects.values_list("name", flat=True)) == {"Ada Lovelace", "Bob", "Eve"}


def test_an_undo_of_something_older_stands_in_the_way(library: Library) -> None:
    ada = library.person(faces=1)
    face = Face.objects.get()
    first = people.rename(person_id=ada.pk, name="A", by="me")
    covered = people.set_cover(person_id=ada.pk, face_id=face.pk, by="me")
    people.undo(operation_id=first.pk, by="me")  # of another field
    people.undo(operation_id=covered.pk, by="me")
    ada.refresh_from_db()
    assert (ada.name, ada.cover_face_id) == (None, None)


@pytest.mark.parametrize("again", ["the same", "the undo"])
def test_once_is_enough(library: Library, again: str) -> None:
    ada = library.person()
    operation = people.rename(person_id=ada.pk, name="Ada", by="me")
    undone = people.undo(operation_id=operation.pk, by="me")
    with pytest.raises(people.ConflictError):
        people.undo(operation_id=(operation if again == "the same" else undone).pk, by="me")


def test_an_unknown_operation(library: Library) -> None:
    with pytest.raises(people.UnknownError):
        people.undo(operation_id=4711, by="me")


def test_faces_that_came_since_stay(library: Library) -> None:
    ada, bob = library.person("Ada", faces=2), library.person("Bob", faces=2)
    merged = people.merge(survivor_id=ada.pk, other_ids=[bob.pk], by="me")
    newer = library.face(ada)

    people.undo(operation_id=merged.pk, by="me")

    assert Face.objects.filter(known_person=ada).count() == 3
    newer.refresh_from_db()
    assert newer.known_person_id == ada.pk


def test_faces_that_the_machine_gave_to_somebody_who_goes_are_free(library: Library) -> None:
    ada = library.person("Ada", faces=2)
    face = Face.objects.filter(known_person=ada)[0]
    split = people.split(person_id=ada.pk, face_ids=[face.pk], by="me")
    new = KnownPerson.objects.exclude(pk=ada.pk).get()
    newer = library.face(new, recognised_with="model")

    people.undo(operation_id=split.pk, by="me")

    newer.refresh_from_db()
    assert (newer.known_person_id, newer.assigned_by, newer.recognised_with) == (None, None, None)
    assert list(KnownPerson.objects.all()) == [ada]


@pytest.mark.parametrize("later", ["confirm", "reject", "distinguish"])
def test_who_goes_takes_no_later_decision_along(library: Library, later: str) -> None:
    ada, bob = library.person("Ada", faces=2), library.person("Bob", faces=1)
    face = Face.objects.filter(known_person=ada)[0]
    split = people.split(person_id=ada.pk, face_ids=[face.pk], by="me")
    new = KnownPerson.objects.latest("pk")
    newer = library.face(new)
    steps = {
        "confirm": lambda: people.confirm(face_ids=[newer.pk], by="me"),
        "reject": lambda: people.reject(face_ids=[newer.pk], by="me"),
        "distinguish": lambda: people.distinguish(person_id=bob.pk, other_id=new.pk, by="me"),
    }
    steps[later]()
    state = everything()
    with pytest.raises(people.ConflictError):
        people.undo(operation_id=split.pk, by="me")
    assert everything() == state


def test_what_has_gone_stays_gone(library: Library) -> None:
    ada, bob = library.person("Ada", faces=2), library.person("Bob", faces=2)
    gone, kept = Face.objects.filter(known_person=bob)
    people.confirm(face_ids=[gone.pk], by="me")
    merged = people.merge(survivor_id=ada.pk, other_ids=[bob.pk], by="me")
    gone.entity.delete()

    people.undo(operation_id=merged.pk, by="me")

    assert list(Face.objects.filter(known_person=bob)) == [kept]
    assert not FaceDecision.objects.exists()
