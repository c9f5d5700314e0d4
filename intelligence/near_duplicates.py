"""Which images are copies of one another: kept while vectors come and go, so that nobody waits for it.

A pair is two images whose DINO vectors are at least as alike as was measured for their model; a group is all
that hangs together by pairs, of what is not in the trash. A group is named after its first image, so that it
is the same in whatever order they came. All of this runs under the lock of upkeep.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from django.db.models import Q

from entities.models import Entity
from intelligence import capabilities
from intelligence.facts import ImageFacts
from intelligence.models import DuplicateCandidate, DuplicatePair
from intelligence.union import Union
from vectors import QdrantVectorStore

BATCH_SIZE = 5000
MOST_PAIRS = 50
"""Of one image, with those most like it: of a thousand copies each still hangs together with the rest."""


@dataclass(frozen=True)
class DuplicateKeeper:
    dino: QdrantVectorStore

    def follow(
        self, entity_ids: Collection[int], facts: Mapping[int, ImageFacts], contents: Mapping[int, str]
    ) -> None:
        """Brings up what is kept of these. `contents` tells the md5 that each one's vector was made from."""
        model = self.dino.current_model() or ""
        told = capabilities.read(model)
        known = DuplicateCandidate.objects.in_bulk(list(entity_ids))
        fresh = {pk for pk, each in facts.items() if _describes(known.get(pk), each, model)}
        threshold = None if told is None else told.near_duplicates_from
        unseen = facts.keys() - fresh if threshold is not None else set()
        found = {pk for pk in unseen if contents.get(pk) == facts[pk].md5}
        stale = set(known) - fresh
        turned = {pk for pk in fresh if known[pk].hidden != facts[pk].hidden}
        _drop_pairs(found | stale | (set(entity_ids) - facts.keys()))
        if not (found or stale or turned):
            return
        around = _groups_of(found | stale | turned)
        _write({pk: facts[pk] for pk in found | turned}, model, gone=stale - found)
        if threshold is not None:
            self._find_pairs(sorted(found), model, threshold)
        _regroup(found | turned, around, model)

    def _find_pairs(self, entity_ids: Collection[int], model: str, threshold: float) -> None:
        hits = self.dino.search_like_each(
            entity_ids, limit=MOST_PAIRS, score_threshold=threshold, model=model, with_payload=True
        )
        others = Entity.objects.filter(pk__in={hit.id for each in hits.values() for hit in each}).order_by()
        content = dict(others.values_list("pk", "md5"))
        DuplicatePair.objects.bulk_create(
            (
                DuplicatePair(first=min(pk, hit.id), second=max(pk, hit.id), score=hit.score)
                for pk, each in hits.items()
                for hit in each
                if hit.id in content and hit.payload.get("md5") == content[hit.id]  # no vector that is to go
            ),
            ignore_conflicts=True,
            batch_size=1000,
        )


def _describes(row: DuplicateCandidate | None, facts: ImageFacts, model: str) -> bool:
    return row is not None and (row.md5, row.model) == (facts.md5, model)


def _groups_of(entity_ids: Collection[int]) -> set[int]:
    found = DuplicateCandidate.objects.filter(pk__in=entity_ids, group__isnull=False)
    return {int(name or 0) for name in found.values_list("group", flat=True)}


def _drop_pairs(entity_ids: Collection[int]) -> None:
    if entity_ids:
        DuplicatePair.objects.filter(_touching(entity_ids)).delete()


def _write(facts: Mapping[int, ImageFacts], model: str, *, gone: Collection[int]) -> None:
    DuplicateCandidate.objects.filter(pk__in=gone).delete()
    DuplicateCandidate.objects.bulk_create(
        (
            DuplicateCandidate(entity_id=pk, md5=each.md5, model=model, hidden=each.hidden)
            for pk, each in sorted(facts.items())
        ),
        update_conflicts=True,
        unique_fields=["entity_id"],
        update_fields=["md5", "model", "hidden", "group"],
    )


def _regroup(entity_ids: Collection[int], around: Collection[int], model: str) -> None:
    """Of these images, and of groups that one of them was in. Other groups only grow: they count as one."""
    inside = set(
        DuplicateCandidate.objects.filter(Q(pk__in=entity_ids) | Q(group__in=around), model=model)
        .filter(hidden=False)
        .values_list("pk", flat=True)
    )
    pairs = _pairs_of(inside)
    outside = DuplicateCandidate.objects.in_bulk({pk for pair in pairs for pk in pair} - inside)
    # By the name of its group, which is the smallest of its images anyway.
    node = {pk: pk for pk in inside} | {
        pk: pk if row.group is None else row.group
        for pk, row in outside.items()
        if row.model == model and not row.hidden
    }
    union = Union()
    for first, second in pairs:
        if first in node and second in node:
            union.join(node[first], node[second])
    DuplicateCandidate.objects.filter(group__in=around).update(group=None)
    for name, members in union.groups().items():
        for batch in batched(members):
            joined = Q(pk__in=batch) | Q(group__in=batch)
            DuplicateCandidate.objects.filter(joined, model=model, hidden=False).update(group=name)


def _pairs_of(entity_ids: Collection[int]) -> list[tuple[int, int]]:
    """With one of these on either side."""
    pairs = {
        pair
        for batch in batched(entity_ids)
        for pair in DuplicatePair.objects.filter(_touching(batch)).values_list("first", "second")
    }
    return sorted(pairs)


def _touching(entity_ids: Collection[int]) -> Q:
    return Q(first__in=entity_ids) | Q(second__in=entity_ids)


def batched(entity_ids: Collection[int]) -> Iterator[list[int]]:
    """No more parameters than a query may have."""
    ordered = sorted(entity_ids)
    return (ordered[start : start + BATCH_SIZE] for start in range(0, len(ordered), BATCH_SIZE))
