from __future__ import annotations

from typing import Protocol, cast

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from entities.api.validation import path_id
from intelligence.retrieval import IntelligenceRetrieveService, NotFoundError


class IntelligenceViewSet(ViewSet):
    retrieval = IntelligenceRetrieveService()

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, NotFoundError):
            exc = NotFound(str(exc))
        return super().handle_exception(exc)


class Caller(Protocol):
    store_id: str | None


def caller(request: Request) -> Caller:
    return cast("Caller", request.user)


def id_from(text: str, *, of: str) -> int:
    """422 if it is no integer, 404 if nothing can have it."""
    try:
        return path_id(text)
    except NotFound:
        raise NotFoundError(f"{of} not found") from None
