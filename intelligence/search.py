"""Images by their likeness to a vector, narrowed by what the store knows of them.

The copies of what it knows beside the vectors make it fast; what is shown has been asked of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from entities.models import Entity, EntityQuerySet
from intelligence import visibility
from intelligence.facts import ImageFacts, image_facts
from intelligence.retrieval import NOT_HIDDEN, SPARE_HITS, IntelligenceRetrieveService, NotFoundError
from vectors import (
    DatetimeRange,
    Filter,
    Hit,
    Match,
    ModelMismatchError,
    QdrantVectorStore,
    get_clip_store,
    get_dino_store,
)
from vectors.schemas import Condition, Vector

STORES: Mapping[str, Callable[[], QdrantVectorStore]] = {"clip": get_clip_store, "dino": get_dino_store}

LONGEST_LIST = 1000
"""Hits that can be paged through; whoever looks further down should rather narrow the search."""
FUSED_DEPTH = 300
"""Of each space, so many of the best are combined; the same for every page, or pages would overlap."""
RRF_CONSTANT = 60
"""Reciprocal rank fusion: an image's value is the sum, over the spaces, of 1 / (60 + its rank there). Cosines
of two spaces cannot be added: each has a scale of its own.
"""


@dataclass(frozen=True)
class QueryVector:
    space: str
    model: str
    vector: Vector


@dataclass(frozen=True)
class Narrowing:
    """All that is given must hold."""

    below: int | None = None
    """A collection: anywhere below it."""
    taken_from: datetime | None = None
    taken_before: datetime | None = None
    mime_type: str | None = None
    people: tuple[int, ...] = ()
    """All of them on the one image."""

    def filter(self) -> Filter:
        must: list[Condition] = [Match("known_person_ids", person) for person in self.people]
        if self.below is not None:
            must.append(Match("ancestor_ids", self.below))
        if self.mime_type is not None:
            must.append(Match("mime_type", self.mime_type))
        if self.taken_from or self.taken_before:
            must.append(DatetimeRange(key="create_date", gte=self.taken_from, lt=self.taken_before))
        return Filter(tuple(must), NOT_HIDDEN.must_not)

    def allows(self, facts: ImageFacts) -> bool:
        return (
            not facts.hidden
            and set(self.people) <= set(facts.known_person_ids)
            and (self.below is None or self.below in facts.ancestor_ids)
            and (self.mime_type is None or self.mime_type == facts.mime_type)
            and self._allows_date(facts.create_date)
        )

    def _allows_date(self, taken: datetime | None) -> bool:
        if taken is None:
            return self.taken_from is None and self.taken_before is None
        return (self.taken_from is None or taken >= self.taken_from) and (
            self.taken_before is None or taken < self.taken_before
        )


@dataclass(frozen=True)
class Reason:
    """What one space says of a hit."""

    space: str
    model: str
    cosine: float
    rank: int | None
    """From 1; None where it is not among the best of this space."""


@dataclass(frozen=True)
class SearchHit:
    entity: Entity
    score: float
    """The cosine, 0..1; of two spaces the higher one."""
    fused: float | None
    """What hits of two spaces are ordered by."""
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class SearchPage:
    hits: list[SearchHit]
    has_next: bool


def vectors_of(entity_id: int, spaces: Sequence[str]) -> list[QueryVector]:
    """Raises NotFoundError where the entity is unknown or has no vector in any of the spaces."""
    IntelligenceRetrieveService.require_entity(entity_id)
    found = []
    for space in spaces:
        store = STORES[space]()
        model = store.current_model()
        vector = store.fetch([entity_id], model=model).get(entity_id) if model else None
        if model and vector is not None:
            found.append(QueryVector(space, model, vector))
    if not found:
        raise NotFoundError(f"This entity has no {' or '.join(spaces)} embedding yet")
    return found


def search(
    ask: Callable[[], Sequence[QueryVector]],
    *,
    narrowing: Narrowing,
    min_score: float | None,
    page: int,
    page_size: int,
    entities: EntityQuerySet,
    leave_out: frozenset[int] = frozenset(),
) -> SearchPage:
    """Best first. `min_score` is the least cosine that counts, in each space. `ask` gives vectors of the
    models that are read; it is called once more where another one is by the time they are compared.
    """
    wanted = page * page_size + 1

    def ranked() -> tuple[Sequence[QueryVector], list[dict[int, float]]]:
        queries = ask()
        depth = wanted if len(queries) == 1 else FUSED_DEPTH
        searches = [_Search(STORES[each.space](), each, narrowing, min_score, leave_out) for each in queries]
        return queries, [each.best(depth) for each in searches]

    try:
        queries, lists = ranked()
    except ModelMismatchError:
        queries, lists = ranked()
    order = _ordered(lists)
    shown = dict(islice(order.items(), wanted - 1 - page_size, wanted - 1))
    told = _reasons(queries, lists, shown)
    hits = [
        SearchHit(
            entity=entity,
            score=max(reason.cosine for reason in told[entity.pk]),
            fused=shown[entity.pk] if len(queries) > 1 else None,
            reasons=told[entity.pk],
        )
        for entity in entities.with_children_count().in_order_of(shown)
    ]
    may_be_asked_for = (page + 1) * page_size <= LONGEST_LIST
    return SearchPage(hits, has_next=may_be_asked_for and len(order) >= wanted)


def _ordered(lists: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """By reciprocal rank fusion, which leaves a single list as it is; equal values by id."""
    fused: dict[int, float] = {}
    for ranked in lists:
        for rank, pk in enumerate(ranked, start=1):
            fused[pk] = fused.get(pk, 0.0) + 1 / (RRF_CONSTANT + rank)
    return dict(sorted(fused.items(), key=lambda item: (-item[1], item[0])))


def _reasons(
    queries: Sequence[QueryVector], lists: Sequence[Mapping[int, float]], shown: Collection[int]
) -> dict[int, tuple[Reason, ...]]:
    """An image that is far down in one space is likely not among its hits: there its vector is compared."""
    reasons: dict[int, list[Reason]] = {pk: [] for pk in shown}
    for query, ranked in zip(queries, lists, strict=True):
        ranks = {pk: rank for rank, pk in enumerate(ranked, start=1)}
        lacking = [pk for pk in shown if pk not in ranked]
        vectors = STORES[query.space]().fetch(lacking, model=query.model) if lacking else {}
        cosines = {**ranked, **{pk: float(vector @ query.vector) for pk, vector in vectors.items()}}
        for pk in reasons.keys() & cosines.keys():
            cosine = min(1.0, max(0.0, cosines[pk]))
            reasons[pk].append(Reason(query.space, query.model, cosine, ranks.get(pk)))
    return {pk: tuple(each) for pk, each in reasons.items()}


@dataclass(frozen=True)
class _Search:
    store: QdrantVectorStore
    query: QueryVector
    narrowing: Narrowing
    min_score: float | None
    leave_out: frozenset[int]

    def best(self, limit: int) -> dict[int, float]:
        """Cosines by id. As with all that searches, a second search at most makes up for stale copies."""
        hits = visibility.shown_hits(
            self._nearest, limit, SPARE_HITS, self._allowed, visibility.entities_in_trash
        )
        return {hit.id: hit.score for hit in hits}

    def _nearest(self, limit: int, exclude: Collection[int]) -> list[Hit]:
        return self.store.search(
            self.query.vector,
            model=self.query.model,
            limit=limit,
            score_threshold=self.min_score,
            filter=self.narrowing.filter(),
            exclude_ids=self.leave_out.union(exclude),
        )

    def _allowed(self, entity_ids: Collection[int]) -> set[int]:
        return {pk for pk, facts in image_facts(entity_ids).items() if self.narrowing.allows(facts)}
