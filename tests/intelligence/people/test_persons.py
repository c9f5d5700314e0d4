from __future__ import annotations

import pytest

from intelligence import people
from intelligence.models import (
    Face,
    FaceDecision,
    KnownPerson,
    PeopleOperation,
    PersonDistinction,
    UpkeepMark,
)
from tests.intelligence.people.conftest import Library

pytestmark = pytest.mark.django_db


def test_merging(library: Library) -> None:
    ada, twin = library.person("Ada", faces=2), library.person("Ada L.", faces=3)
    marks = UpkeepMark.objects.count()

    operation = people.merge(survivor_id=ada.pk, other_ids=[twin.pk], by="me")

    assert list(KnownPerson.objects.all()) == [ada]
    assert Face.objects.filter(known_person=ada, assigned_by="user").count() == 5
    assert FaceDecision.objects.filter(person=ada, verdict="is", decided_by="me").count() == 5
    assert operation.summary == f"Merged Ada L. ({twin.pk}) (3 faces) into Ada ({ada.pk}) (2 faces)"
    assert UpkeepMark.objects.count() == marks + 3  # the vectors follow
    assert twin.history.filter(history_type="-", history_user_id="me").count() == 1


def test_what_the_survivor_lacks_comes_from_the_others(library: Library) -> None:
    nameless, ada = library.person(faces=1), library.person("Ada", faces=1)
    cover = Face.objects.get(known_person=ada)
    ada.cover_face = cover
    ada.save()

    people.merge(survivor_id=nameless.pk, other_ids=[ada.pk], by="me")

    merged = KnownPerson.objects.get()
    assert (merged.pk, merged.name, merged.cover_face_id) == (nameless.pk, "Ada", cover.pk)


def test_decisions_go_with_the_faces(library: Library) -> None:
    ada, twin, bob = library.person("Ada", faces=1), library.person(faces=1), library.person("Bob", faces=1)
    of_ada, of_twin, of_bob = Face.objects.order_by("pk")
    people.confirm(face_ids=[of_twin.pk], by="one")
    people.reject(face_ids=[of_ada.pk], person_id=twin.pk, by="one")  # outweighed by the merge
    people.reject(face_ids=[of_bob.pk], person_id=twin.pk, by="one")
    people.distinguish(person_id=twin.pk, other_id=bob.pk, by="one")
    people.distinguish(person_id=twin.pk, other_id=ada.pk, by="one")  # so is this

    people.merge(survivor_id=ada.pk, other_ids=[twin.pk], by="two")

    said = FaceDecision.objects.order_by("face_id").values_list("face_id", "verdict", "person", "decided_by")
    assert list(said) == [
        (of_ada.pk, "is", ada.pk, "two"),
        (of_twin.pk, "is", ada.pk, "one"),
        (of_bob.pk, "is_not", ada.pk, "one"),
    ]
    assert [(row.person_id, row.other_id) for row in PersonDistinction.objects.all()] == [(ada.pk, bob.pk)]


def test_two_on_one_photo_are_merged_but_not_confirmed(library: Library) -> None:
    """The user says that the people are the same, and cannot mean each of these faces."""
    ada, twin = library.person("Ada", faces=1), library.person(faces=1)
    first = Face.objects.get(known_person=ada)
    second = library.face(twin, entity=first.entity)

    people.merge(survivor_id=ada.pk, other_ids=[twin.pk], by="me")

    assert Face.objects.filter(known_person=ada).count() == 3
    decided = FaceDecision.objects.values_list("face_id", flat=True)
    assert set(decided).isdisjoint({first.pk, second.pk})


@pytest.mark.parametrize("others", [[], "itself"])
def test_a_merge_with_nobody(library: Library, others: object) -> None:
    ada = library.person("Ada")
    ids = [ada.pk] if others == "itself" else []
    with pytest.raises(people.PeopleError):
        people.merge(survivor_id=ada.pk, other_ids=ids, by="me")


def test_a_merge_with_somebody_unknown_changes_nothing(library: Library) -> None:
    ada, bob = library.person("Ada"), library.person("Bob")
    with pytest.raises(people.UnknownError, match="4711"):
        people.merge(survivor_id=ada.pk, other_ids=[bob.pk, 4711], by="me")
    assert KnownPerson.objects.count() == 2


def test_naming_hiding_and_covering_are_written_down(library: Library) -> None:
    ada = library.person(faces=1)
    face = Face.objects.get()

    people.rename(person_id=ada.pk, name="Ada", by="me")
    people.set_hidden(person_id=ada.pk, hidden=True, by="me")
    people.set_cover(person_id=ada.pk, face_id=face.pk, by="me")

    ada.refresh_from_db()
    assert (ada.name, ada.hidden, ada.cover_face_id) == ("Ada", True, face.pk)
    assert list(PeopleOperation.objects.values_list("summary", flat=True)) == [
        f"Made face {face.pk} the cover of Ada ({ada.pk})",
        f"Hid Ada ({ada.pk})",
        f"Named person {ada.pk} Ada",
    ]
    assert set(ada.history.exclude(history_type="+").values_list("history_user_id", flat=True)) == {"me"}


def test_a_cover_is_one_of_the_faces(library: Library) -> None:
    ada = library.person("Ada")
    with pytest.raises(people.PeopleError, match="not one of"):
        people.set_cover(person_id=ada.pk, face_id=library.face().pk, by="me")


def test_nobody_is_told_apart_from_themselves(library: Library) -> None:
    ada = library.person("Ada")
    with pytest.raises(people.PeopleError):
        people.distinguish(person_id=ada.pk, other_id=ada.pk, by="me")
