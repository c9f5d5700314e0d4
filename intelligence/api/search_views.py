from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from entities.api.documentation import VECTORS_AWAY, error
from entities.api.validation import validated
from entities.models import Entity
from intelligence.api.base import IntelligenceViewSet, entities_as_json, with_extensions
from intelligence.api.search_serializers import (
    SPACES,
    SearchPageSerializer,
    SearchQuerySerializer,
    hit_as_json,
    narrowing_of,
    require_one,
)
from intelligence.search import QueryVector, SearchPage, search, vectors_of


class SearchViewSet(IntelligenceViewSet):
    """Images by what they show."""

    @extend_schema(
        summary="Search images",
        parameters=[SearchQuerySerializer],
        responses={
            200: SearchPageSerializer,
            404: error("There is no such entity, or it has no embedding yet."),
            **VECTORS_AWAY,
        },
    )
    def find(self, request: Request) -> Response:
        """Like another image of the store. The most alike first, without the trash.

        All that narrows must hold. With `space=both` images are ordered by reciprocal rank fusion: the sum,
        over the two spaces, of 1 / (60 + rank), of the best 300 of each.
        """
        query = validated(SearchQuerySerializer(data=request.query_params), "query")
        require_one(query, "entity")
        vectors = vectors_of(query["entity"], SPACES[query["space"]])
        return self._answer(query, vectors, leave_out=frozenset({query["entity"]}))

    def _answer(
        self,
        query: dict[str, Any],
        vectors: Sequence[QueryVector],
        *,
        leave_out: frozenset[int] = frozenset(),
    ) -> Response:
        page = SearchPage([], has_next=False)
        if query.get("type", Entity.MediaType.IMAGE) == Entity.MediaType.IMAGE:
            page = search(
                vectors,
                narrowing=narrowing_of(query),
                min_score=query.get("min_score"),
                page=query["page"],
                page_size=query["page_size"],
                entities=with_extensions(),
                leave_out=leave_out,
            )
        details = entities_as_json(self.request, [hit.entity for hit in page.hits])
        return Response(
            {
                "results": [hit_as_json(hit, details[hit.entity.pk]) for hit in page.hits],
                "pagination": {
                    "page": query["page"],
                    "page_size": query["page_size"],
                    "has_next": page.has_next,
                    "has_prev": query["page"] > 1,
                },
            }
        )
