from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http.response import HttpResponseBase
from rest_framework import status
from rest_framework.exceptions import APIException, NotFound
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from entities import services
from entities.api import extensions
from entities.api.files import file_response
from entities.api.pagination import page_of
from entities.api.serializers import (
    EntityFormSerializer,
    EntitySerializer,
    ListQuerySerializer,
    PreviewQuerySerializer,
    page_context,
)
from entities.api.signed_urls import is_signed
from entities.api.uploads import FILE_FIELDS, IncomingUploadHandler
from entities.api.validation import path_id, validated
from entities.errors import ContentNotAllowedError, ContentRequiredError
from entities.models import Entity, EntityQuerySet
from entities.previews import PreviewService, PreviewUnavailableError
from entities.storage import EntityStorageService


class CollectionHasNoFileError(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "Entity is a collection"


class EntityViewSet(GenericViewSet[Entity]):
    """Photos, videos, other files and the collections that hold them."""

    serializer_class = EntitySerializer
    parser_classes = (MultiPartParser, FormParser)
    lookup_url_kwarg = "entity_id"

    def get_queryset(self) -> EntityQuerySet:
        entities = Entity.objects.all()
        for extension in extensions.registered():
            entities = extension.prefetch(entities)
        return entities

    def get_entity(self) -> Entity:
        found = self.get_queryset().with_children_count().filter(pk=path_id(self.kwargs["entity_id"])).first()
        if found is None:
            raise NotFound("Entity not found")
        return found

    def initialize_request(self, request: Any, *arguments: Any, **options: Any) -> Request:
        if request.method in {"POST", "PUT", "PATCH"}:
            request.upload_handlers = [IncomingUploadHandler(request)]
        return super().initialize_request(request, *arguments, **options)

    def list(self, request: Request) -> Response:
        query = validated(ListQuerySerializer(data=request.query_params), "query")
        entities = self.get_queryset()
        if query["exclude_deleted"]:
            entities = entities.live()
        rows, pagination = page_of(entities, page=query["page"], page_size=query["page_size"])
        return Response({"items": self.as_json(rows), "pagination": pagination.as_json()})

    def retrieve(self, request: Request, entity_id: str) -> Response:
        return Response(self.as_json([self.get_entity()])[0])

    def create(self, request: Request) -> Response:
        form = validated(EntityFormSerializer(data=request.data), "body")
        stored = _create(form, by=getattr(request.user, "store_id", None))
        self.kwargs["entity_id"] = str(stored.entity.pk)
        answer = self.as_json([self.get_entity()])[0]
        return Response(answer, status=status.HTTP_201_CREATED if stored.created else status.HTTP_200_OK)

    def as_json(self, entities: Sequence[Entity]) -> Sequence[dict[str, Any]]:
        context = page_context(entities, base_url=self.request.build_absolute_uri("/"))
        return [EntitySerializer(context=context).to_representation(entity) for entity in entities]


def _create(form: dict[str, Any], *, by: str | None) -> services.StoredEntity:
    upload = next((form[name] for name in FILE_FIELDS if form.get(name)), None)
    texts = {
        "label": form.get("label") or None,
        "description": form.get("description") or None,
        "parent_id": form.get("parent_id"),
    }
    if form["is_collection"]:
        if upload is not None:
            raise ContentNotAllowedError("A collection has no file; leave media_file out.")
        return services.StoredEntity(services.create_collection(**texts, by=by), created=True)
    if upload is None:
        raise ContentRequiredError("A file is required: send it as media_file.")
    storage = EntityStorageService.from_settings()
    return services.create_entity(storage=storage, incoming=upload.incoming, **texts, by=by)


def _previews() -> PreviewService:
    return PreviewService(Path(settings.MEDIA_ROOT), max_pixels=settings.MAX_IMAGE_PIXELS)


class EntityFileViewSet(EntityViewSet):
    """The bytes of an entity. A signed link stands in for a permission."""

    def check_permissions(self, request: Request) -> None:
        if not is_signed(path_id(self.kwargs["entity_id"]), request.query_params):
            super().check_permissions(request)

    def media(self, request: Request, entity_id: str) -> HttpResponseBase:
        entity, path = self._entity_with_file()
        return file_response(
            request,
            path,
            mime_type=entity.mime_type,
            name=f"{entity.md5}.{entity.extension}",
            etag=entity.md5 or "",
        )

    def preview(self, request: Request, entity_id: str) -> HttpResponseBase:
        validated(PreviewQuerySerializer(data=request.query_params), "query")
        entity, path = self._entity_with_file()
        try:
            preview = _previews().ensure(path, entity.md5 or "", entity.type or "")
        except PreviewUnavailableError as error:
            raise NotFound(f"Preview file not found: {error}") from error
        return file_response(
            request, preview, mime_type="image/png", name=f"{entity.md5}.tb.png", etag=f"{entity.md5}.tb"
        )

    def _entity_with_file(self) -> tuple[Entity, Path]:
        entity = self.get_entity()
        if entity.is_collection or not entity.file_path:
            raise CollectionHasNoFileError
        path = EntityStorageService.from_settings().resolve(entity.file_path)
        if not path.is_file():
            raise NotFound("Media file not found")
        return entity, path
