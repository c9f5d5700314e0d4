"""Pages of a bare array: clients that know of no pages get all of it, the others are told in headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

T = TypeVar("T", bound=Model)

TOTAL = "X-Total-Count"
PAGE_HEADERS = [
    OpenApiParameter(
        TOTAL, int, OpenApiParameter.HEADER, description="How many there are on all pages.", response=[200]
    ),
    OpenApiParameter(
        "Link", str, OpenApiParameter.HEADER, description="The next and the previous page.", response=[200]
    ),
]


class PageQuerySerializer(serializers.Serializer[Any]):
    page = serializers.IntegerField(
        min_value=1, max_value=10**9, required=False, help_text="One past the end is empty."
    )
    page_size = serializers.IntegerField(
        min_value=1, max_value=500, default=50, help_text="How many a page holds."
    )


def page_of(
    request: Request,
    query: dict[str, Any],
    found: QuerySet[T],
    as_item: Callable[[T], Any],
    first: int | None = 1,
) -> Response:
    """Where no page is asked for: the first one, or with None all there is."""
    page, size = query.get("page", first), query["page_size"]
    if page is None:
        return Response([as_item(each) for each in found])
    total = found.count()
    items = [as_item(each) for each in found[(page - 1) * size : page * size]]
    response = Response(items, headers={TOTAL: str(total)})
    links = {"next": page + 1 if page * size < total else 0, "prev": page - 1}
    told = [f'<{_spelt(request, number)}>; rel="{name}"' for name, number in links.items() if number]
    if told:
        response["Link"] = ", ".join(told)
    return response


def _spelt(request: Request, page: int) -> str:
    query = request.query_params.copy()
    query["page"] = str(page)
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")
