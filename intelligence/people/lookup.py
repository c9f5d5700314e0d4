"""Finding whom or what an operation is about, or saying that there is none."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from intelligence.models import Face, KnownPerson
from intelligence.people.errors import PeopleError, UnknownError

MOST_FACES = 10_000
"""In one decision: a request, not a library, is what it is for."""


def person(pk: int) -> KnownPerson:
    return people([pk])[0]


def people(ids: Iterable[int]) -> list[KnownPerson]:
    """In this order, each once; locked."""
    wanted = list(dict.fromkeys(ids))
    found = KnownPerson.objects.select_for_update(of=("self",)).in_bulk(sorted(wanted))
    missing = [pk for pk in wanted if pk not in found]
    if missing:
        which = f": {_listed(missing)}" if len(wanted) > 1 else ""
        raise UnknownError(f"Known person not found{which}")
    return [found[pk] for pk in wanted]


def require_all(faces: Collection[Face], ids: Collection[int]) -> None:
    if not ids:
        raise PeopleError("Name at least one face.")
    if len(set(ids)) > MOST_FACES:
        raise PeopleError(f"These are more than {MOST_FACES} faces; decide about some at a time.")
    missing = sorted(set(ids) - {face.pk for face in faces})
    if missing:
        which = f": {_listed(missing)}" if len(ids) > 1 else ""
        raise UnknownError(f"Face not found{which}")


def _listed(ids: Collection[int], shown: int = 10) -> str:
    first = ", ".join(str(pk) for pk in list(ids)[:shown])
    return f"{first} and {len(ids) - shown} more" if len(ids) > shown else first
