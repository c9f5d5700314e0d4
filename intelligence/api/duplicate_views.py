from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from entities.api.documentation import VECTORS_AWAY
from entities.api.pagination import Pagination
from entities.api.serializers import EntitySerializer, PaginationSerializer
from entities.api.validation import InvalidRequestError, validated
from intelligence import duplicates
from intelligence.api.base import IntelligenceViewSet, entities_as_json, with_extensions


class DuplicatesQuerySerializer(serializers.Serializer[Any]):
    min_score = serializers.FloatField(
        min_value=0,
        max_value=1,
        required=False,
        help_text="The least cosine that counts: the threshold of the model, or more.",
    )
    page = serializers.IntegerField(min_value=1, default=1, help_text="One past the end is empty.")
    page_size = serializers.IntegerField(
        min_value=1, max_value=50, default=20, help_text="How many groups a page holds."
    )


class CopySerializer(serializers.Serializer[Any]):
    entity_id = serializers.IntegerField()
    score = serializers.FloatField(help_text="Cosine with the one of the group that it is most like, 0..1.")
    entity = EntitySerializer()


class DuplicateGroupSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField(help_text="The smallest entity of the group.")
    count = serializers.IntegerField(help_text="Of very large groups not all are told.")
    items = CopySerializer(many=True, help_text="The best copy first.")


class DuplicatesSerializer(serializers.Serializer[Any]):
    groups = DuplicateGroupSerializer(many=True)
    model = serializers.CharField(allow_null=True)
    threshold = serializers.FloatField(
        allow_null=True,
        help_text="Of the model; null: nobody has measured it, so nothing is looked for.",
    )
    pagination = PaginationSerializer()


class DuplicateViewSet(IntelligenceViewSet):
    """Images that are there more than once."""

    @extend_schema(
        summary="List near-duplicates",
        parameters=[DuplicatesQuerySerializer],
        responses={200: DuplicatesSerializer, **VECTORS_AWAY},
    )
    def groups(self, request: Request) -> Response:
        """Groups of images that look the same: copies in other sizes, other formats, slightly cropped.

        In each group the best copy comes first: most pixels, then most bytes, then longest in the store. Two
        images of a group need not be alike themselves: they hang together by others. Found by workers as
        images come in; a higher `min_score` splits the groups of a page or takes them away.
        """
        query = validated(DuplicatesQuerySerializer(data=request.query_params), "query")
        _require_kept(query.get("min_score"))
        found = duplicates.read(
            min_score=query.get("min_score"),
            page=query["page"],
            page_size=query["page_size"],
            entities=with_extensions(),
        )
        entities = [copy.entity for group in found.groups for copy in group.copies]
        details = entities_as_json(request, entities)
        return Response(
            {
                "groups": [_group(group, details) for group in found.groups],
                "model": found.model,
                "threshold": found.threshold,
                "pagination": Pagination.of(
                    page=query["page"], page_size=query["page_size"], total=found.total
                ).as_json(),
            }
        )


def _require_kept(min_score: float | None) -> None:
    least = duplicates.least_score()
    if min_score is not None and least is not None and min_score < least:
        message = f"Copies are kept from {least} on, as measured for the model; give that or more."
        fault = {"type": "value_error.min_value", "loc": ["query", "min_score"], "msg": message}
        raise InvalidRequestError([fault | {"input": min_score}])


def _group(group: duplicates.Group, details: dict[int, Any]) -> dict[str, Any]:
    return {
        "id": group.id,
        "count": group.count,
        "items": [
            {"entity_id": copy.entity.pk, "score": copy.score, "entity": details[copy.entity.pk]}
            for copy in group.copies
        ],
    }
