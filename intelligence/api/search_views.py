from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.datastructures import MultiValueDict
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from entities.api.documentation import FILE_ERRORS, MULTIPART, error
from entities.api.forms import file_of
from entities.api.parsers import MultiPartParser
from entities.api.uploads import receiving_uploads
from entities.api.validation import validated
from entities.errors import ContentRequiredError
from entities.models import Entity
from intelligence.api.base import IntelligenceViewSet, entities_as_json, with_extensions
from intelligence.api.search_serializers import (
    SPACES,
    PictureQuerySerializer,
    SearchPageSerializer,
    SearchQuerySerializer,
    hit_as_json,
    narrowing_of,
    require_clip,
    require_one,
    without_empty,
)
from intelligence.encoding import vectors_of_picture, vectors_of_text
from intelligence.search import QueryVector, SearchPage, search, vectors_of

MAX_PICTURE_BYTES = 64 * 1024 * 1024


class SearchViewSet(IntelligenceViewSet):
    """Images by what they show."""

    parser_classes = (MultiPartParser,)
    access = "read"
    has_search_form = True

    def dispatch(self, request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponseBase:
        with receiving_uploads(request, max_bytes=min(MAX_PICTURE_BYTES, settings.MAX_UPLOAD_BYTES)):
            return super().dispatch(request, *arguments, **options)

    def get_serializer(self, *arguments: Any, **options: Any) -> PictureQuerySerializer:
        """Of the browser's form."""
        return PictureQuerySerializer(*arguments, **options)

    @extend_schema(
        summary="Search images",
        parameters=[SearchQuerySerializer],
        responses={
            200: SearchPageSerializer,
            404: error("There is no such entity, or it has no embedding yet."),
            503: error("No model understands text, no worker answers, or the vector store is away."),
        },
    )
    def find(self, request: Request) -> Response:
        """Like the words of `text`, or like another image of the store. The best first, without the trash.

        Words need a CLIP model that understands them; a worker reads them, which may take a moment.

        All that narrows must hold. With `space=both` images are ordered by reciprocal rank fusion: the sum,
        over the two spaces, of 1 / (60 + rank), of the best 300 of each.
        """
        query = validated(SearchQuerySerializer(data=without_empty(request.query_params)), "query")
        require_one(query, "text", "entity")
        if "text" in query:
            require_clip(query)
            return self._answer(query, partial(vectors_of_text, query["text"]))
        ask = partial(vectors_of, query["entity"], SPACES[query["space"]])
        return self._answer(query, ask, leave_out=frozenset({query["entity"]}))

    @extend_schema(
        summary="Search images by a picture",
        request={MULTIPART: PictureQuerySerializer},
        responses={
            200: SearchPageSerializer,
            507: FILE_ERRORS[507],
            503: error("No worker can look at the picture now, or the vector store is away."),
        },
    )
    def by_picture(self, request: Request) -> Response:
        """Like a picture that is sent along. It is looked at, and not kept. The rest is as with GET."""
        query = validated(PictureQuerySerializer(data=without_empty(_form(request))), "body")
        incoming = file_of(query)
        if incoming is None:  # a text in the place of the file
            raise ContentRequiredError("A picture is required: send it as image.")
        file_path = str(incoming.path.relative_to(settings.MEDIA_ROOT))
        return self._answer(query, partial(vectors_of_picture, file_path, SPACES[query["space"]]))

    def _answer(
        self,
        query: dict[str, Any],
        ask: Callable[[], Sequence[QueryVector]],
        *,
        leave_out: frozenset[int] = frozenset(),
    ) -> Response:
        page = SearchPage([], has_next=False)
        if query.get("type", Entity.MediaType.IMAGE) == Entity.MediaType.IMAGE:
            page = search(
                ask,
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


def _form(request: Request) -> MultiValueDict[str, Any]:
    """Without a body there is none."""
    data: Any = request.data
    return data if isinstance(data, MultiValueDict) else MultiValueDict()
