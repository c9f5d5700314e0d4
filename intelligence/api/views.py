from __future__ import annotations

from typing import Any

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from entities.api import extensions
from entities.api.serializers import EntitySerializer, page_context
from entities.api.validation import path_id, validated
from entities.models import Entity
from intelligence.api.serializers import (
    FaceSerializer,
    IntelligenceDataSerializer,
    JobSerializer,
    SimilarQuerySerializer,
)
from intelligence.retrieval import IntelligenceRetrieveService, NotFoundError, SimilarEntity
from vectors import get_clip_store, get_dino_store

SPACES = {"clip": (get_clip_store, 0.85), "dino": (get_dino_store, 0.7)}
"""The store of each space, and the least similarity that counts where the request names none."""


class EntityIntelligenceViewSet(ViewSet):
    """What was found on an image."""

    retrieval = IntelligenceRetrieveService()

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, NotFoundError):
            exc = NotFound(str(exc))
        return super().handle_exception(exc)

    def retrieve(self, request: Request, entity_id: str) -> Response:
        row = self.retrieval.intelligence_of(path_id(entity_id))
        return Response(None if row is None else IntelligenceDataSerializer(row).data)

    def faces(self, request: Request, entity_id: str) -> Response:
        return Response(FaceSerializer(self.retrieval.faces_of(path_id(entity_id)), many=True).data)

    def jobs(self, request: Request, entity_id: str) -> Response:
        return Response(JobSerializer(self.retrieval.jobs_of(path_id(entity_id)), many=True).data)

    def similar(self, request: Request, entity_id: str) -> Response:
        query = validated(SimilarQuerySerializer(data=request.query_params), "query")
        get_store, default_threshold = SPACES[query["space"]]
        entities = Entity.objects.all()
        for extension in extensions.registered() if query["include_details"] else ():
            entities = extension.prefetch(entities)
        found = self.retrieval.similar_entities(
            path_id(entity_id),
            store=get_store(),
            limit=query["limit"],
            threshold=query.get("score_threshold", default_threshold),
            entities=entities,
        )
        return Response(self._as_json(path_id(entity_id), found, with_details=query["include_details"]))

    def _as_json(self, entity_id: int, found: list[SimilarEntity], *, with_details: bool) -> dict[str, Any]:
        context = page_context([hit.entity for hit in found], base_url=self.request.build_absolute_uri("/"))
        serializer = EntitySerializer(context=context)
        return {
            "query_image_id": entity_id,
            "query_entity_id": entity_id,
            "results": [
                {
                    "image_id": hit.entity.pk,
                    "entity_id": hit.entity.pk,
                    "score": hit.score,
                    "entity": serializer.to_representation(hit.entity) if with_details else None,
                }
                for hit in found
            ],
        }
