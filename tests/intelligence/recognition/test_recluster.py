from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from intelligence import people
from intelligence.models import Face, KnownPerson, PeopleOperation
from intelligence.processing import IntelligenceProcessingService
from intelligence.recognition import recluster
from intelligence.recognition.plans import Plan, make_plan
from intelligence.recognition.recluster import Recluster, Result
from tests.intelligence.people.facts import everything
from tests.intelligence.recognition.crowd import MODEL, Crowd, person_of, standing_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def settle(crowd: Crowd) -> Recluster:
    return crowd.processing.recluster


def looked_at(crowd: Crowd, who: str, person: KnownPerson | None, like: float = 0.85, **fields: Any) -> Face:
    """As an unlucky order may have left it."""
    given = None if person is None else "auto"
    return crowd.face(
        who,
        like=like,
        known_person=person,
        assigned_by=given,
        **{"standing": "core", "recognised_with": MODEL, **fields},
    )


def made() -> KnownPerson:
    return KnownPerson.objects.create()


def operation_of(result: Result) -> PeopleOperation:
    assert result.operation is not None
    return PeopleOperation.objects.get(pk=result.operation)


def test_who_was_made_twice_is_joined(crowd: Crowd, settle: Recluster) -> None:
    one, two, bob = made(), made(), made()
    faces = [looked_at(crowd, "Ada", one) for _ in range(3)] + [
        looked_at(crowd, "Ada", two) for _ in range(2)
    ]
    stays = looked_at(crowd, "Bob", bob)
    before = everything()

    shown = settle.run(dry_run=True)
    assert everything() == before
    result = settle.run()

    assert shown.plan.figures() == result.plan.figures()
    assert {person_of(face) for face in faces} == {one.pk}
    assert person_of(stays) == bob.pk
    assert set(KnownPerson.objects.all()) == {one, bob}
    figures = result.plan.figures()
    assert (figures["people joined"], figures["people dropped"], figures["faces moved"]) == (1, 1, 2)
    people.undo(operation_id=operation_of(result).pk, by="me")
    assert everything() == before


def test_who_was_mixed_up_is_split(crowd: Crowd, settle: Recluster) -> None:
    mixed = made()
    ada = [looked_at(crowd, "Ada", mixed) for _ in range(3)]
    bob = [looked_at(crowd, "Bob", mixed) for _ in range(2)]
    result = settle.run()
    assert {person_of(face) for face in ada} == {mixed.pk}
    assert len({person_of(face) for face in bob} - {mixed.pk}) == 1
    assert result.plan.figures()["people split"] == result.plan.figures()["people made"] == 1


def test_a_second_run_changes_nothing(crowd: Crowd, settle: Recluster) -> None:
    one, two = made(), made()
    for person in (one, two):
        for _ in range(3):
            looked_at(crowd, "Ada", person)
    settle.run()
    before = everything()
    assert settle.run().operation is None
    assert everything() == before


def test_decisions_stand(crowd: Crowd, settle: Recluster) -> None:
    ada, eve = made(), made()
    of_ada = [looked_at(crowd, "Ada", ada) for _ in range(3)]
    of_eve = [looked_at(crowd, "Ada", eve) for _ in range(3)]
    people.rename(person_id=ada.pk, name="Ada", by="me")
    people.rename(person_id=eve.pk, name="Eve", by="me")  # whatever they look like
    stranger = looked_at(crowd, "Ada", ada)
    people.reject(face_ids=[stranger.pk], by="me")
    Face.objects.filter(pk=stranger.pk).update(recognised_with=MODEL)
    people.assign(face_ids=[of_ada[0].pk], person_id=eve.pk, by="me")

    settle.run()

    assert person_of(of_ada[0]) == eve.pk
    assert {person_of(face) for face in of_ada[1:]} == {ada.pk}
    assert {person_of(face) for face in of_eve} == {eve.pk}
    assert person_of(stranger) != ada.pk


def test_whom_a_user_has_given_a_face_keeps_it_whatever_it_looks_like(
    crowd: Crowd, settle: Recluster
) -> None:
    ada, eve = made(), made()
    for _ in range(4):
        looked_at(crowd, "Ada", ada)
        looked_at(crowd, "Eve", eve)
    given = looked_at(crowd, "Ada", ada)
    people.assign(face_ids=[given.pk], person_id=eve.pk, by="me")

    settle.run()

    assert person_of(given) == eve.pk


def test_a_poor_face_goes_to_whom_it_is_closest(crowd: Crowd, settle: Recluster) -> None:
    ada = made()
    for _ in range(4):
        looked_at(crowd, "Ada", ada)
    poor = looked_at(crowd, "Ada", None, like=0.75, quality=0.2, standing="waiting")
    far = looked_at(crowd, "Eve", None, quality=0.2, standing="waiting")
    settle.run()
    assert (person_of(poor), standing_of(poor)) == (ada.pk, "following")
    assert (person_of(far), standing_of(far)) == (None, "waiting")
    assert far.recognised_with == MODEL


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_arrival_does_not_matter(crowd: Crowd, settle: Recluster, seed: int) -> None:
    """Recognised one by one in this order, then settled: always these three."""
    dice = random.Random(seed)
    crowd.sibling("Bob", of="Ada", like=0.6)
    arrivals = ["Ada"] * 6 + ["Bob"] * 5 + ["Eve"] * 4
    dice.shuffle(arrivals)
    faces = []
    for who in arrivals:
        faces.append((who, crowd.face(who, like=dice.choice((0.75, 0.85, 0.9)))))
        crowd.recognise()

    settle.run()

    found: dict[int | None, set[str]] = {}
    for who, face in faces:
        found.setdefault(person_of(face), set()).add(who)
    assert sorted(map(sorted, found.values())) == [["Ada"], ["Bob"], ["Eve"]]


def test_a_plan_that_was_overtaken_is_made_again(
    crowd: Crowd, settle: Recluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = made(), made()
    faces = [looked_at(crowd, "Ada", person) for person in (one, one, two)]
    meanwhile: Iterator[Callable[[], object]] = iter(
        [lambda: people.confirm(face_ids=[faces[2].pk], by="me"), lambda: None]
    )

    def planned(*arguments: Any, **options: Any) -> Plan:
        plan = make_plan(*arguments, **options)
        next(meanwhile)()
        return plan

    monkeypatch.setattr(recluster, "make_plan", planned)
    settle.run()
    assert person_of(faces[2]) == two.pk


def test_a_night_without_changes_does_nothing(crowd: Crowd, settle: Recluster) -> None:
    crowd.face("Ada")
    crowd.recognise()
    assert settle.nightly() is not None
    assert settle.nightly() is None
    crowd.face("Ada")
    crowd.recognise()
    again = settle.nightly()
    assert again is not None
    assert again.plan.faces == 2


def test_a_night_looks_at_what_is_near_to_the_changes(crowd: Crowd, settle: Recluster) -> None:
    for who in ("Ada", "Bob", "Eve"):
        for _ in range(2):
            crowd.face(who)
    crowd.recognise()
    settle.nightly()
    crowd.face("Ada")
    crowd.recognise()
    result = settle.nightly()
    assert result is not None
    assert result.plan.faces == 3


def test_the_command(crowd: Crowd, monkeypatch: pytest.MonkeyPatch) -> None:
    def here() -> IntelligenceProcessingService:
        return crowd.processing

    monkeypatch.setattr("intelligence.errands.get_processing", here)
    one, two = made(), made()
    faces = [looked_at(crowd, "Ada", person) for person in (one, one, two)]

    def say(*words: str) -> str:
        out = StringIO()
        call_command("people", *words, stdout=out)
        return out.getvalue()

    assert "Nothing was changed." in say("recluster", "--dry-run")
    assert person_of(faces[2]) == two.pk
    told = json.loads(say("recluster", "--json"))
    assert (told["figures"]["people joined"], told["dropped"]) == (1, [two.pk])
    assert person_of(faces[2]) == one.pk
    assert f"{one.pk}       3 faces" in say("list")
    say("undo", str(told["operation"]))
    assert person_of(faces[2]) == two.pk
    assert "Merged" in say("merge", str(one.pk), str(two.pk))
    with pytest.raises(CommandError, match="not found"):
        say("undo", "4711")
