"""Who may be one person: a question for users, never a step of the machine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from django.db.models import Avg, Count, F, Max

from intelligence.models import Face, FaceMatch, KnownPerson, PersonDistinction
from intelligence.people import listing

PAIRS = 1000
"""Looked at for suggestions: those that most faces speak for."""

Pair = tuple[int, int]
"""Two people, the smaller id first."""
Likeness = tuple[int, float, float]
"""Of a pair: how many faces are alike, the closest cosine, and the mean."""


@dataclass(frozen=True)
class MergeSuggestion:
    person: KnownPerson
    other: KnownPerson
    faces: int
    """Pairs of faces that are as alike as faces of one person."""
    closest: float
    mean: float


def suggested_merges(limit: int = 50) -> list[MergeSuggestion]:
    """Those that most faces speak for first. Never two who were seen on one photo, or were told apart."""
    alike = _alike()
    told_apart, photos = _told_apart(alike), _photos(alike)
    best_first = sorted(alike, key=lambda pair: (-alike[pair][0], -alike[pair][1], pair))
    may_be_one = (
        (one, two)
        for one, two in best_first
        if (one, two) not in told_apart and photos[one].isdisjoint(photos[two])
    )
    chosen = list(islice(may_be_one, limit))
    # in_bulk() would ask SQLite once for each 999.
    shown = {each.pk: each for each in listing.people().filter(pk__in=_everyone(chosen))}
    return [
        MergeSuggestion(shown[one], shown[two], *alike[one, two])
        for one, two in chosen
        if one in shown and two in shown  # else somebody has merged them a moment ago
    ]


def _alike() -> dict[Pair, Likeness]:
    matches = FaceMatch.objects.filter(
        rule="another", face__known_person__hidden=False, matched_face__known_person__hidden=False
    ).exclude(face__known_person=F("matched_face__known_person"))
    rows = (
        matches.order_by()
        .values_list(F("face__known_person"), F("matched_face__known_person"))
        .annotate(number=Count("pk"), closest=Max("similarity"), mean=Avg("similarity"))
        .order_by("-number", "-closest")[: 2 * PAIRS]
    )
    one_way: dict[Pair, list[Likeness]] = defaultdict(list)
    for one, two, *likeness in rows:
        one_way[min(one, two), max(one, two)].append(tuple(likeness))
    return {pair: _together(found) for pair, found in one_way.items()}


def _together(found: list[Likeness]) -> Likeness:
    """Of faces of the one like faces of the other, and the other way round."""
    number = sum(faces for faces, _, _ in found)
    mean = sum(faces * mean for faces, _, mean in found) / number
    return number, max(closest for _, closest, _ in found), mean


def _told_apart(pairs: Iterable[Pair]) -> set[Pair]:
    firsts = {one for one, _ in pairs}
    return set(PersonDistinction.objects.filter(person__in=firsts).values_list("person_id", "other_id"))


def _photos(pairs: Iterable[Pair]) -> dict[int, set[int]]:
    """By person."""
    theirs = Face.objects.filter(known_person__in=_everyone(pairs)).order_by()
    photos: dict[int, set[int]] = defaultdict(set)
    for person, photo in theirs.values_list("known_person_id", "entity_id"):
        photos[person or 0].add(photo)
    return photos


def _everyone(pairs: Iterable[Pair]) -> set[int]:
    return {pk for pair in pairs for pk in pair}
