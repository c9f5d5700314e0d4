from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from entities.api import extensions
from entities.api.serializers import EntitySerializer, page_context
from entities.api.validation import path_id
from entities.models import Entity, EntityQuerySet
from intelligence.retrieval import IntelligenceRetrieveService, NotFoundError


class IntelligenceViewSet(ViewSet):
    retrieval = IntelligenceRetrieveService()

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, NotFoundError):
            exc = NotFound(str(exc))
        return super().handle_exception(exc)


def with_extensions() -> EntityQuerySet:
    """With what each app above adds to an entity's JSON."""
    entities = Entity.objects.all()
    for extension in extensions.registered():
        entities = extension.prefetch(entities)
    return entities


def entities_as_json(request: Request, entities: Sequence[Entity]) -> dict[int, Any]:
    """By id; of entities that were read with_extensions()."""
    context = page_context(entities, base_url=request.build_absolute_uri("/"))
    serializer = EntitySerializer(context=context)
    return {entity.pk: serializer.to_representation(entity) for entity in entities}


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
