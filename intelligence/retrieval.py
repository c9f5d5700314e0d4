"""Reading what was found: an entity's intelligence, its faces and jobs, and what looks like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from entities import hierarchy
from entities.models import Entity, EntityQuerySet
from intelligence.models import EntityJob, Face, ImageIntelligence
from vectors import Hit, QdrantVectorStore


class NotFoundError(LookupError):
    """There is no such thing, or nothing was found yet; the message says which."""


@dataclass(frozen=True)
class SimilarEntity:
    entity: Entity
    score: float


class IntelligenceRetrieveService:
    def intelligence_of(self, entity_id: int) -> ImageIntelligence | None:
        self._require(entity_id)
        return ImageIntelligence.objects.filter(pk=entity_id).first()

    def faces_of(self, entity_id: int) -> list[Face]:
        self._require(entity_id)
        return list(Face.objects.filter(entity_id=entity_id))

    def jobs_of(self, entity_id: int) -> list[EntityJob]:
        """Those under way first, then the history."""
        self._require(entity_id)
        jobs = list(EntityJob.objects.filter(entity_id=entity_id))
        return sorted(jobs, key=lambda job: (job.completed_at is not None, job.pk))

    def similar_entities(
        self,
        entity_id: int,
        *,
        store: QdrantVectorStore,
        limit: int,
        threshold: float,
        entities: EntityQuerySet | None = None,
    ) -> list[SimilarEntity]:
        """Best first, without the entity itself and without anything in the trash.

        Raises NotFoundError where the entity is unknown, has no vector, or nothing is like it.
        """
        self._require(entity_id)
        found = Entity.objects.all() if entities is None else entities
        similar = _visible(_Neighbours(store, entity_id, threshold), found, limit)
        if not similar:
            raise NotFoundError("no similar images found")
        return similar

    def _require(self, entity_id: int) -> None:
        if not Entity.objects.filter(pk=entity_id).exists():
            raise NotFoundError("Entity not found")


@dataclass(frozen=True)
class _Neighbours:
    store: QdrantVectorStore
    entity_id: int
    threshold: float

    def nearest(self, limit: int) -> Sequence[Hit]:
        hits = self.store.search_like(self.entity_id, limit=limit, score_threshold=self.threshold)
        if hits is None:
            raise NotFoundError("no similar images: this one has no embedding yet")
        return hits


def _visible(neighbours: _Neighbours, entities: EntityQuerySet, limit: int) -> list[SimilarEntity]:
    """Asks for more as long as the trash has used up places that others could take."""
    asked = limit
    while True:
        hits = neighbours.nearest(asked)
        shown = _shown(hits, entities)
        if len(shown) >= limit or len(hits) < asked:
            return shown[:limit]
        asked *= 4


def _shown(hits: Sequence[Hit], entities: EntityQuerySet) -> list[SimilarEntity]:
    found = entities.live().with_children_count().in_order_of(hit.id for hit in hits)
    hidden = hierarchy.deleted_or_below_deleted(entity.parent_id for entity in found)
    scores = {hit.id: min(1.0, max(0.0, hit.score)) for hit in hits}
    return [SimilarEntity(entity, scores[entity.pk]) for entity in found if entity.parent_id not in hidden]
