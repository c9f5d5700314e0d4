"""What was found on an image."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, JsonResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from entities.api.documentation import VECTORS_AWAY, error
from entities.api.validation import validated
from entities.models import Entity
from intelligence.api.base import IntelligenceViewSet, entities_as_json, id_from, with_extensions
from intelligence.api.embeddings import NPY, npy_response
from intelligence.api.intelligence_data import DATA_OR_NULL, intelligence_data
from intelligence.api.serializers import (
    FaceSerializer,
    JobSerializer,
    SimilarEntitiesQuerySerializer,
    SimilarEntitiesSerializer,
    as_json,
)
from intelligence.retrieval import SimilarEntity
from vectors import get_clip_store, get_dino_store

SPACES = {"clip": (get_clip_store, 0.85), "dino": (get_dino_store, 0.7)}
"""The store of each space, and the least similarity that counts where the request names none."""


class EntityIntelligenceViewSet(IntelligenceViewSet):
    @extend_schema(summary="Say what is known of an image", responses={200: DATA_OR_NULL})
    def retrieve(self, request: Request, entity_id: str) -> HttpResponse:
        """How far its processing is, with the newest jobs; null where nothing is known yet."""
        pk = _id(entity_id)
        row = self.retrieval.intelligence_of(pk)
        if row is None:
            return JsonResponse(None, safe=False)  # DRF makes an empty body of None, which is no JSON
        jobs = sorted(self.retrieval.jobs_of(pk), key=lambda job: job.pk)
        return Response(intelligence_data(row, jobs))

    @extend_schema(summary="List the faces on an image", responses=FaceSerializer(many=True))
    def faces(self, request: Request, entity_id: str) -> Response:
        """Each with its place, its crop and its person, if it has one."""
        return Response(as_json(FaceSerializer(), self.retrieval.faces_of(_id(entity_id))))

    @extend_schema(summary="List the jobs of an image", responses=JobSerializer(many=True))
    def jobs(self, request: Request, entity_id: str) -> Response:
        """Those under way first, then the history, the newest last; the oldest of very many are left out."""
        return Response(as_json(JobSerializer(), self.retrieval.jobs_of(_id(entity_id))))

    @extend_schema(summary="Download an image's CLIP embedding", responses=NPY)
    def clip_embedding(self, request: Request, entity_id: str) -> HttpResponse:
        """A vector of length 1 that stands for what the image is about, as a file of NumPy."""
        pk = _id(entity_id)
        vector = self.retrieval.embedding_of_entity(pk, get_clip_store())
        return npy_response(vector, name=f"entity_{pk}_clip_embedding")

    @extend_schema(summary="Download an image's DINO embedding", responses=NPY)
    def dino_embedding(self, request: Request, entity_id: str) -> HttpResponse:
        """A vector of length 1 that stands for what the image looks like, as a file of NumPy."""
        pk = _id(entity_id)
        vector = self.retrieval.embedding_of_entity(pk, get_dino_store())
        return npy_response(vector, name=f"entity_{pk}_dino_embedding")

    @extend_schema(
        summary="List images like this one",
        parameters=[SimilarEntitiesQuerySerializer],
        responses={
            200: SimilarEntitiesSerializer,
            404: error("There is no such entity, it has no embedding yet, or no other is like it."),
            **VECTORS_AWAY,
        },
    )
    def similar(self, request: Request, entity_id: str) -> Response:
        """The most alike first, without the image itself and without the trash."""
        pk = _id(entity_id)
        query = validated(SimilarEntitiesQuerySerializer(data=request.query_params), "query")
        get_store, default_threshold = SPACES[query["space"]]
        found = self.retrieval.similar_entities(
            pk,
            store=get_store(),
            limit=query["limit"],
            threshold=query.get("score_threshold", default_threshold),
            entities=with_extensions() if query["include_details"] else Entity.objects.all(),
        )
        details = self._details(found) if query["include_details"] else {}
        results = [_similar_entity(hit, details.get(hit.entity.pk)) for hit in found]
        return Response({"query_image_id": pk, "query_entity_id": pk, "results": results})

    def _details(self, found: list[SimilarEntity]) -> dict[int, Any]:
        return entities_as_json(self.request, [hit.entity for hit in found])


def _id(text: str) -> int:
    return id_from(text, of="Entity")


def _similar_entity(hit: SimilarEntity, details: Any) -> dict[str, Any]:
    """The keys of both generations of clients."""
    return {"image_id": hit.entity.pk, "entity_id": hit.entity.pk, "score": hit.score, "entity": details}
