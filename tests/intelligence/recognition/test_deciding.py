"""Likenesses in, people out: no database here."""

from __future__ import annotations

from collections import Counter

import pytest

from intelligence.recognition.deciding import Known, Memory, Outcome, Role, Seen, decide_photo, heard_by
from intelligence.recognition.rules import Rules

RULES = Rules(same_person_from=0.5)
ADA, BOB = 1, 2


def memory(*cores: tuple[int, int], **others: Known) -> Memory:
    """Core faces by id and person, each on a photo of its own; `f12=Known(...)` is face 12."""
    faces = {face: Known(1000 + face, 0.9, person, Role.CORE) for face, person in cores}
    faces |= {int(name[1:]): known for name, known in others.items()}
    speaking = (known.person for known in faces.values() if known.speaks)
    return Memory(faces, Counter(person for person in speaking if person is not None))


def look(memory: Memory, *neighbours: tuple[int, float], quality: float = 0.9, **fields: object) -> Outcome:
    seen = Seen(99, quality, sorted(neighbours, key=lambda pair: -pair[1]), **fields)  # type: ignore[arg-type]
    (outcome,) = decide_photo(7, [seen], memory, RULES)
    return outcome


def test_nobody_like_it_makes_somebody_new() -> None:
    outcome = look(memory((10, ADA)), (10, 0.49))
    assert (outcome.person, outcome.role) == (-1, Role.CORE)
    assert outcome.evidence == ()


def test_a_poor_face_that_is_like_nobody_waits() -> None:
    assert look(memory(), quality=0.2).role is Role.WAITING


def test_it_joins_whom_enough_speak_for() -> None:
    known = memory((10, ADA), (11, ADA), (12, ADA))
    outcome = look(known, (10, 0.6), (11, 0.55))
    assert (outcome.person, outcome.role) == (ADA, Role.CORE)
    assert [(each.face, each.similarity, each.needed, each.speech) for each in outcome.evidence] == [
        (10, 0.6, 0.5, "core"),
        (11, 0.55, 0.5, "core"),
    ]
    assert known.cores[ADA] == 4


def test_one_of_many_is_not_enough() -> None:
    outcome = look(memory((10, ADA), (11, ADA)), (10, 0.6))
    assert (outcome.person, outcome.role) == (None, Role.WAITING)


def test_the_only_one_is_enough() -> None:
    assert look(memory((10, ADA)), (10, 0.6)).person == ADA


def test_who_does_not_speak_leads_nowhere() -> None:
    """No chain over borderline faces."""
    following = Known(1, 0.2, ADA, Role.FOLLOWING)
    outcome = look(memory((10, ADA), f11=following), (11, 0.9))
    assert outcome.person == -1
    assert [each.speech for each in outcome.evidence] == ["silent"]


def test_two_people_equally_close_leave_it_waiting() -> None:
    known = memory((10, ADA), (20, BOB))
    assert look(known, (10, 0.60), (20, 0.57)).role is Role.WAITING
    assert look(known, (10, 0.62), (20, 0.56)).person == ADA


@pytest.mark.parametrize(("quality", "needed"), [(0.9, 0.5), (0.4, 0.5), (0.2, 0.55), (0.0, 0.6)])
def test_poorer_crops_need_closer_matches(quality: float, needed: float) -> None:
    assert RULES.needed(quality, 0.9) == RULES.needed(0.9, quality) == pytest.approx(needed)
    known = memory((10, ADA))
    assert look(known, (10, needed - 0.01), quality=quality).person != ADA
    assert look(known, (10, needed + 0.01), quality=quality).person == ADA


def test_a_poor_face_that_joins_does_not_speak() -> None:
    known = memory((10, ADA))
    assert look(known, (10, 0.8), quality=0.2).role is Role.FOLLOWING
    assert known.cores[ADA] == 1


def test_whom_a_user_said_it_is_not() -> None:
    known = memory((10, ADA), (20, BOB))
    assert look(known, (10, 0.9), (20, 0.6), not_these=frozenset({ADA})).person == BOB
    assert look(known, (10, 0.9), not_these=frozenset({ADA, BOB})).person == -1


def test_of_one_photo_the_closer_one_wins_and_the_other_is_somebody_else() -> None:
    known = memory((10, ADA))
    faces = [Seen(1, 0.9, [(10, 0.6)]), Seen(2, 0.9, [(10, 0.7)])]
    outcomes = {each.face: each.person for each in decide_photo(7, faces, known, RULES)}
    assert outcomes == {2: ADA, 1: -1}


def test_what_is_taken_makes_the_rest_clear() -> None:
    """Brother and sister on one photo: each alone would be too close to both."""
    known = memory((10, ADA), (20, BOB))
    faces = [Seen(1, 0.9, [(20, 0.60), (10, 0.58)]), Seen(2, 0.9, [(10, 0.8), (20, 0.55)])]
    outcomes = {each.face: each.person for each in decide_photo(7, faces, known, RULES)}
    assert outcomes == {1: BOB, 2: ADA}


def test_whom_another_face_of_the_photo_is_already() -> None:
    (outcome,) = decide_photo(7, [Seen(1, 0.9, [(10, 0.9)])], memory((10, ADA)), RULES, taken=[ADA])
    assert outcome.person == -1


def test_a_closer_face_takes_the_place_of_one_that_the_machine_gave() -> None:
    known = memory((10, ADA), (11, ADA), f1=Known(7, 0.9, ADA, Role.CORE))
    known.cores[ADA] = 3
    faces = [
        Seen(1, 0.9, [(10, 0.55), (11, 0.52)], person=ADA, role=Role.CORE),
        Seen(2, 0.9, [(10, 0.8), (11, 0.8)]),
    ]
    outcomes = {each.face: each.person for each in decide_photo(7, faces, known, RULES)}
    assert outcomes == {2: ADA, 1: -1}
    assert known.cores == {ADA: 3, -1: 1}


def test_what_a_user_said_makes_way_for_nobody() -> None:
    known = memory((10, ADA))
    faces = [Seen(1, 0.1, [], person=ADA, is_fixed=True), Seen(2, 0.9, [(10, 0.9)])]
    outcomes = {each.face: (each.person, each.role) for each in decide_photo(7, faces, known, RULES)}
    assert outcomes == {1: (ADA, Role.CORE), 2: (-1, Role.CORE)}


def test_a_face_that_was_given_stays_whatever_is_closer() -> None:
    """Only the re-clustering moves it, in a step that can be taken back."""
    known = memory((10, ADA), (20, BOB), f99=Known(7, 0.9, ADA, Role.FOLLOWING))
    assert look(known, (20, 0.9), (10, 0.55), person=ADA, role=Role.FOLLOWING).person == ADA


def test_faces_of_the_same_photo_are_no_evidence() -> None:
    known = memory(f10=Known(7, 0.9, ADA, Role.CORE))
    assert look(known, (10, 0.95)).person == -1


def test_who_waits_hears_of_a_core_face_that_is_like_it() -> None:
    known = memory((10, ADA), f11=Known(1, 0.3, None, Role.WAITING), f12=Known(2, 0.9, None, None))
    outcome = look(known, (10, 0.7), (11, 0.6), (12, 0.9))
    assert heard_by([outcome], known) == {11}


def test_who_speaks_as_before_is_not_heard_again() -> None:
    known = memory((10, ADA), f11=Known(1, 0.3, None, Role.WAITING), f99=Known(7, 0.9, ADA, Role.CORE))
    again = look(known, (10, 0.7), (11, 0.6), person=ADA, role=Role.CORE, spoke_for=ADA)
    assert (again.role, heard_by([again], known)) == (Role.CORE, set())
    after_another = look(known, (10, 0.7), (11, 0.6), person=ADA, role=Role.CORE, spoke_for=BOB)
    assert heard_by([after_another], known) == {11}


def test_who_is_about_as_close_does_not_take_the_place() -> None:
    known = memory((10, ADA), (11, ADA), f1=Known(7, 0.9, ADA, Role.CORE))
    faces = [
        Seen(1, 0.9, [(10, 0.80), (11, 0.80)], person=ADA, role=Role.CORE),
        Seen(2, 0.9, [(10, 0.84), (11, 0.84)]),
    ]
    outcomes = {each.face: each.person for each in decide_photo(7, faces, known, RULES)}
    assert outcomes == {1: ADA, 2: -1}


def test_faces_that_nobody_has_looked_at_yet_are_not_there() -> None:
    outcome = look(memory(), (10, 0.9))
    assert (outcome.person, outcome.evidence) == (-1, ())
