"""Reading what was found: an entity's intelligence, its faces and jobs, the people, and what is alike."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from django.db.models import F, QuerySet

from entities.models import Entity, EntityQuerySet, visible
from entities.storage import EntityStorageService
from intelligence import visibility
from intelligence.models import (
    EntityJob,
    Face,
    FaceMatch,
    ImageIntelligence,
    KnownPerson,
)
from intelligence.people import listing
from vectors import Filter, Hit, Match, QdrantVectorStore
from vectors.schemas import Vector

JOBS_LIMIT = 1000
"""Of an entity's jobs, the newest are told; those under way are always among them."""
SPARE_HITS = 50
"""Asked for beyond the limit: vectors whose owner was trashed or removed a moment ago take up places."""

NOT_HIDDEN = Filter(must_not=(Match("hidden", 1),))
"""Vectors of trashed entities may carry this mark; the engine then passes over any number of them."""


class NotFoundError(LookupError):
    """There is no such thing, or nothing was found yet; the message says which."""


@dataclass(frozen=True)
class SimilarEntity:
    entity: Entity
    score: float


@dataclass(frozen=True)
class SimilarFace:
    face: Face
    score: float


class IntelligenceRetrieveService:
    # --- Of an entity ---

    def intelligence_of(self, entity_id: int) -> ImageIntelligence | None:
        """With its entity."""
        entity = Entity.objects.select_related("intelligence").filter(pk=entity_id).first()
        if entity is None:
            raise NotFoundError("Entity not found")
        return getattr(entity, "intelligence", None)

    def faces_of(self, entity_id: int) -> list[Face]:
        self.require_entity(entity_id)
        return list(Face.objects.filter(entity_id=entity_id))

    def jobs_of(self, entity_id: int) -> list[EntityJob]:
        """Those under way first, then the history; at most JOBS_LIMIT, the oldest left out."""
        self.require_entity(entity_id)
        jobs = EntityJob.objects.filter(entity_id=entity_id)
        newest = jobs.order_by(F("completed_at").desc(nulls_first=True), "-pk")[:JOBS_LIMIT]
        return sorted(newest, key=lambda job: (job.completed_at is not None, job.pk))

    def embedding_of_entity(self, entity_id: int, store: QdrantVectorStore) -> Vector:
        """Of length 1."""
        self.require_entity(entity_id)
        return _embedding(entity_id, store, of="entity")

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
        self.require_entity(entity_id)
        neighbours = _Neighbours(store, entity_id, threshold, "images")
        scores = neighbours.shown(limit, visibility.shown_entities, visibility.entities_in_trash)
        rows = Entity.objects.all() if entities is None else entities
        found = rows.with_children_count().in_order_of(scores)
        return [SimilarEntity(entity, scores[entity.pk]) for entity in found]

    # --- Of a face ---

    def face(self, face_id: int) -> Face:
        found = Face.objects.filter(visible("entity_id"), pk=face_id).first()
        if found is None:
            raise NotFoundError("Face not found")
        return found

    def crop_of(self, face_id: int, storage: EntityStorageService) -> Path:
        try:
            path = self.face(face_id).get_file_path(storage)
        except ValueError as error:
            raise NotFoundError("Face crop not found") from error
        if not path.is_file():
            raise NotFoundError("Face crop not found")
        return path

    def embedding_of_face(self, face_id: int, store: QdrantVectorStore) -> Vector:
        """Of length 1."""
        return _embedding(self.face(face_id).pk, store, of="face")

    def similar_faces(
        self, face_id: int, *, store: QdrantVectorStore, limit: int, threshold: float
    ) -> list[SimilarFace]:
        """As similar_entities."""
        neighbours = _Neighbours(store, self.face(face_id).pk, threshold, "faces")
        scores = neighbours.shown(limit, visibility.shown_faces, visibility.faces_in_trash)
        found = Face.objects.in_bulk(scores)
        return [SimilarFace(found[pk], score) for pk, score in scores.items() if pk in found]

    def matches_of(self, face_id: int) -> list[FaceMatch]:
        """Best first, each with its matched face; without faces in the trash."""
        matches = FaceMatch.objects.filter(face=self.face(face_id)).select_related("matched_face")
        found = list(matches.order_by("-similarity", "pk"))
        shown = visibility.shown_faces([match.matched_face_id for match in found])
        return [match for match in found if match.matched_face_id in shown]

    # --- Of people ---

    def person(self, person_id: int) -> KnownPerson:
        """As listing.people() has it."""
        found = listing.people().filter(pk=person_id).first()
        if found is None:
            raise NotFoundError("Known person not found")
        return found

    def faces_of_person(self, person_id: int, *, by_doubt: bool = False) -> QuerySet[Face]:
        if not KnownPerson.objects.filter(pk=person_id).exists():
            raise NotFoundError("Known person not found")
        if by_doubt:
            return listing.faces_by_doubt(person_id)
        return visibility.outside_trash(Face.objects.filter(known_person_id=person_id))

    @staticmethod
    def require_entity(entity_id: int) -> None:
        if not Entity.objects.filter(pk=entity_id).exists():
            raise NotFoundError("Entity not found")


def _embedding(id: int, store: QdrantVectorStore, *, of: str) -> Vector:
    found = store.fetch([id])
    if id not in found:
        raise NotFoundError(f"This {of} has no embedding yet")
    return found[id]


@dataclass(frozen=True)
class _Neighbours:
    store: QdrantVectorStore
    id: int
    threshold: float
    what: str

    def shown(
        self,
        limit: int,
        shown: Callable[[Collection[int]], set[int]],
        in_trash: Callable[[], frozenset[int]],
    ) -> dict[int, float]:
        """Scores by id, best first, of what may be shown."""
        best = visibility.shown_hits(self._nearest, limit, SPARE_HITS, shown, in_trash)
        if not best:
            raise NotFoundError(f"no similar {self.what} found")
        return {hit.id: max(0.0, hit.score) for hit in best}

    def _nearest(self, limit: int, exclude: Collection[int]) -> list[Hit]:
        hits = self.store.search_like(
            self.id,
            limit=limit,
            score_threshold=self.threshold,
            filter=NOT_HIDDEN,
            exclude_ids=exclude,
        )
        if hits is None:
            raise NotFoundError(f"no similar {self.what}: this one has no embedding yet")
        return hits
