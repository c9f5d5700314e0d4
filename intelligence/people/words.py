"""How operations are told to people."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from intelligence.models import Face, KnownPerson

NAMED = 5
"""Faces, by their ids; more are only counted."""


def called(person: KnownPerson) -> str:
    return f"{person.name} ({person.pk})" if person.name else f"person {person.pk}"


def faces_in_words(faces: Collection[Face]) -> str:
    """By id, where they are few."""
    if len(faces) > NAMED:
        return f"{len(faces)} faces"
    ids = sorted(face.pk for face in faces)
    return f"face {ids[0]}" if len(ids) == 1 else f"faces {_enumerated(map(str, ids))}"


def people_in_words(people: Iterable[KnownPerson]) -> str:
    return _enumerated(called(person) for person in people)


def _enumerated(items: Iterable[str]) -> str:
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last
