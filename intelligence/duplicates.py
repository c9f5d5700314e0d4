"""Reading the groups of near-duplicates that near_duplicates.py keeps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.db.models import BigIntegerField, Count, F
from django.db.models.functions import Cast

from entities.models import Entity, EntityQuerySet
from intelligence import capabilities, visibility
from intelligence.models import DuplicateCandidate, DuplicatePair
from intelligence.union import Union
from vectors import get_dino_store

MOST_MEMBERS = 200
"""Of one group, so many are told; `count` says how many there are."""


@dataclass(frozen=True)
class Copy:
    entity: Entity
    score: float
    """Cosine with the one of the group that it is most like."""


@dataclass(frozen=True)
class Group:
    id: int
    count: int
    copies: list[Copy]
    """The best first: most pixels, then most bytes, then longest in the store."""


@dataclass(frozen=True)
class GroupPage:
    groups: list[Group]
    total: int
    model: str | None
    threshold: float | None


def least_score() -> float | None:
    """From which pairs are kept. None until a worker has told of the current model."""
    return _least_score_of(get_dino_store().current_model())


def _least_score_of(model: str | None) -> float | None:
    told = capabilities.read(model)
    return None if told is None else told.near_duplicates_from


def read(*, min_score: float | None, page: int, page_size: int, entities: EntityQuerySet) -> GroupPage:
    """By the smallest entity of each. A higher `min_score` splits groups or takes them away, so that a page
    may hold more or fewer of them.
    """
    model = get_dino_store().current_model()
    grouped = DuplicateCandidate.objects.filter(model=model or "", group__isnull=False).order_by()
    sizes = grouped.values("group").annotate(number=Count("pk")).filter(number__gt=1)
    start = (page - 1) * page_size
    on_page = sizes.order_by("group").values_list("group", "number")[start : start + page_size]
    counts = {int(name or 0): number for name, number in on_page}
    members = _members(counts, model or "")
    shown = visibility.shown_entities([pk for each in members.values() for pk in each])
    pairs = _pairs(shown, min_score or 0.0)
    parts = _parts(pairs)
    best = _best_first({pk for members_of in parts.values() for pk in members_of}, entities)
    groups = [
        Group(
            id=name,
            count=counts.get(name, 0) if min_score is None else len(ids),
            copies=[Copy(entity, _score(pk, pairs)) for pk, entity in best.items() if pk in ids],
        )
        for name, ids in sorted(parts.items())
    ]
    return GroupPage(groups, sizes.count(), model, _least_score_of(model))


def _members(groups: Collection[int], model: str) -> dict[int, list[int]]:
    """The first of each."""
    found: dict[int, list[int]] = defaultdict(list)
    rows = DuplicateCandidate.objects.filter(model=model, group__in=groups).order_by("group", "entity_id")
    for name, entity_id in rows.values_list("group", "entity_id").iterator():
        members = found[int(name or 0)]
        if len(members) < MOST_MEMBERS:
            members.append(entity_id)
    return found


def _pairs(entity_ids: Collection[int], min_score: float) -> dict[int, dict[int, float]]:
    """Both ways."""
    found: dict[int, dict[int, float]] = defaultdict(dict)
    inside = DuplicatePair.objects.filter(first__in=entity_ids, second__in=entity_ids)
    for first, second, score in inside.filter(score__gte=min_score).values_list("first", "second", "score"):
        found[first][second] = found[second][first] = score
    return found


def _parts(pairs: Mapping[int, Mapping[int, float]]) -> dict[int, set[int]]:
    union = Union()
    for first, others in pairs.items():
        for second in others:
            union.join(first, second)
    return {name: set(members) for name, members in union.groups().items()}


def _best_first(entity_ids: Collection[int], entities: EntityQuerySet) -> dict[int, Entity]:
    found = entities.with_children_count().filter(pk__in=entity_ids)
    ordered = found.order_by(
        (Cast("width", BigIntegerField()) * F("height")).desc(nulls_last=True),
        F("file_size").desc(nulls_last=True),
        "added_date",
        "pk",
    )
    return {entity.pk: entity for entity in ordered}


def _score(pk: int, pairs: Mapping[int, Mapping[int, float]]) -> float:
    return min(1.0, max(pairs[pk].values()))
