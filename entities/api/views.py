from __future__ import annotations

import functools
from contextlib import suppress
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, Serializer
from rest_framework.viewsets import GenericViewSet

from entities import quota, services, versions
from entities.api import extensions
from entities.api.documentation import FILE_ERRORS, FORM, MULTIPART, error
from entities.api.errors import BadRequestError, ConflictError, as_answer
from entities.api.filters import FILTER_PARAMETERS, valid_filters
from entities.api.forms import (
    CollectionFormSerializer,
    EntityFormSerializer,
    LookupQuerySerializer,
    PageSerializer,
    PatchFormSerializer,
    ReplacementFormSerializer,
    ReplacementTextsSerializer,
    RestoreQuerySerializer,
    VersionQuerySerializer,
    changes_of,
    file_of,
    texts_of,
)
from entities.api.pagination import page_of
from entities.api.parsers import MultiPartParser, NoFieldsParser
from entities.api.serializers import (
    EntityPageSerializer,
    EntitySerializer,
    VersionSerializer,
    page_context,
)
from entities.api.uploads import FORM_BYTES, receiving_uploads
from entities.api.validation import MAX_ID_DIGITS, path_id, validated
from entities.errors import ContentNotAllowedError, ContentRequiredError, VersionNotFoundError
from entities.models import Entity, EntityQuerySet
from entities.storage import EntityStorageService

AMBIGUOUS = 2


class EntityView(GenericViewSet[Entity]):
    """What all routes of entities have in common."""

    serializer_class = EntitySerializer
    parser_classes = (MultiPartParser, FormParser, NoFieldsParser)
    lookup_url_kwarg = "entity_id"
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def dispatch(self, request: HttpRequest, *arguments: Any, **options: Any) -> HttpResponseBase:
        with receiving_uploads(request):
            return super().dispatch(request, *arguments, **options)

    def handle_exception(self, exc: Exception) -> Response:
        return super().handle_exception(as_answer(exc, self.request.method))

    def get_queryset(self) -> EntityQuerySet:
        return _with_extensions().all()

    def get_entity(self, entity_id: int) -> Entity:
        found = next(iter(_counted().filter(pk=entity_id)), None)
        if found is None:
            raise NotFound("Entity not found")
        return found

    def as_json(self, entities: list[Entity]) -> list[dict[str, Any]]:
        context = page_context(entities, base_url=self.request.build_absolute_uri("/"))
        serializer = EntitySerializer(context=context)
        return [serializer.to_representation(entity) for entity in entities]

    def answer(self, entity_id: int, *, code: int = status.HTTP_200_OK) -> Response:
        return Response(self.as_json([self.get_entity(entity_id)])[0], status=code)


class EntityViewSet(EntityView):
    """Photos, videos, other files and the collections that hold them."""

    forms = {
        "create": EntityFormSerializer,
        "update": ReplacementFormSerializer,
        "partial_update": PatchFormSerializer,
    }

    def get_serializer(self, *_arguments: Any, **_options: Any) -> BaseSerializer[Any]:
        """Of the browser's forms, filled in with what is there."""
        named = self.kwargs.get(self.lookup_url_kwarg, "")
        could_be = named.isdecimal() and len(named) <= MAX_ID_DIGITS
        entity = Entity.objects.filter(pk=named).first() if could_be else None
        return self.forms.get(str(self.action), Serializer)(entity)

    @extend_schema(
        summary="List entities",
        parameters=[PageSerializer, *FILTER_PARAMETERS],
        responses=EntityPageSerializer,
    )
    def list(self, request: Request) -> Response:
        """The newest first. All filters that are given must hold; an empty one counts as not given."""
        query = validated(PageSerializer(data=request.query_params), "query")
        entities, pagination = page_of(
            valid_filters(request), self.get_queryset(), page=query["page"], page_size=query["page_size"]
        )
        if "version" in query:
            entities = versions.as_they_were(entities, query["version"])
        return Response({"items": self.as_json(entities), "pagination": pagination.as_json()})

    @extend_schema(
        summary="Find one entity",
        parameters=[LookupQuerySerializer],
        responses={
            200: EntitySerializer,
            400: error("Neither md5 nor label was given."),
            404: error("There is none outside the trash."),
            409: error("More than one collection has this label."),
        },
    )
    def lookup(self, request: Request) -> Response:
        """A file by the MD5 of its bytes, or a collection by its label; md5 counts if both are given."""
        query = validated(LookupQuerySerializer(data=request.query_params), "query")
        live = self.get_queryset().live().with_children_count()
        if query.get("md5"):
            found = live.filter(md5=query["md5"])
        elif query.get("label"):
            found = live.labelled(query["label"])
        else:
            raise BadRequestError("Give md5 or label.")
        matches = list(found[:AMBIGUOUS])
        if not matches:
            raise NotFound("Entity not found")
        if len(matches) == AMBIGUOUS:
            raise ConflictError("More than one collection has this label.")
        return Response(self.as_json(matches)[0])

    @extend_schema(
        summary="Upload a file, or make a collection",
        request={MULTIPART: EntityFormSerializer, FORM: CollectionFormSerializer},
        responses={
            200: OpenApiResponse(EntitySerializer, "The store has these bytes: the entity that holds them."),
            201: OpenApiResponse(EntitySerializer, "A new entity."),
            **FILE_ERRORS,
        },
    )
    def create(self, request: Request) -> Response:
        """What a file is, is told by its bytes: its name and its stated type do not count.

        Bytes that are stored already make no second entity. If they lie in the trash, they come out of it.
        """
        quota.require_room(_caller_id(request), _least_bytes(request))
        form = validated(EntityFormSerializer(data=request.data), "body")
        stored = _create(form, by=_caller_id(request))
        code = status.HTTP_201_CREATED if stored.created else status.HTTP_200_OK
        return Response(self.as_json([self._as_stored(stored)])[0], status=code)

    def _as_stored(self, stored: services.StoredEntity) -> Entity:
        """Who uploads is told what was stored, though it may be changed or removed again by now."""
        if not stored.created:
            with suppress(NotFound):
                return self.get_entity(stored.entity.pk)
        stored.entity.children_count = 0
        stored.entity.was_just_made = True
        return stored.entity

    @extend_schema(
        summary="Show an entity",
        parameters=[VersionQuerySerializer],
        responses={200: EntitySerializer, 404: error("There is no such entity, or no such version of it.")},
    )
    def retrieve(self, request: Request, entity_id: str) -> Response:
        """As it is, or as it was at an earlier version. The trash is shown too."""
        query = validated(VersionQuerySerializer(data=request.query_params), "query")
        entity = self.get_entity(path_id(entity_id))
        if "version" not in query:
            return Response(self.as_json([entity])[0])
        as_it_was = versions.as_they_were([entity], query["version"])
        if not as_it_was:
            raise VersionNotFoundError(query["version"])
        return Response(self.as_json(as_it_was)[0])

    @extend_schema(
        summary="Replace an entity",
        request={MULTIPART: ReplacementFormSerializer, FORM: ReplacementTextsSerializer},
        responses={
            200: EntitySerializer,
            400: error("is_collection differs, a collection was given a file, or the parent will not do."),
            409: error("Another entity holds this file."),
            **FILE_ERRORS,
        },
    )
    def update(self, request: Request, entity_id: str) -> Response:
        """A description or parent that is not sent is removed; without a file the old one stays."""
        quota.require_room(_caller_id(request), _least_bytes(request))
        form = validated(ReplacementFormSerializer(data=request.data), "body")
        incoming, by = file_of(form), _caller_id(request)
        with quota.reserved(by, incoming.size if incoming else 0):
            services.replace_entity(
                path_id(entity_id),
                is_collection=form["is_collection"],
                **texts_of(form),
                storage=EntityStorageService.from_settings(),
                incoming=incoming,
                by=by,
            )
        return self.answer(path_id(entity_id))

    @extend_schema(
        summary="Change an entity, or move it into the trash or out of it",
        request={MULTIPART: PatchFormSerializer, FORM: PatchFormSerializer},
        responses=EntitySerializer,
    )
    def partial_update(self, request: Request, entity_id: str) -> Response:
        """A field that is not sent stays as it is; empty text removes what was there. Makes a version."""
        form = validated(PatchFormSerializer(data=request.data), "body")
        services.patch_entity(path_id(entity_id), changes_of(form), by=_caller_id(request))
        return self.answer(path_id(entity_id))

    @extend_schema(
        summary="Remove an entity for good",
        responses={204: None, 400: error("It is not in the trash; move it there first.")},
    )
    def destroy(self, request: Request, entity_id: str) -> Response:
        """With all below it, the files, and what was found on them. It must lie in the trash itself."""
        storage = EntityStorageService.from_settings()
        services.remove_entity(path_id(entity_id), storage=storage, by=_caller_id(request))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(summary="List the versions of an entity", responses=VersionSerializer(many=True))
    def versions(self, request: Request, entity_id: str) -> Response:
        """Who changed what, the first version first."""
        entity = self.get_entity(path_id(entity_id))
        return Response([VersionSerializer(version).data for version in versions.list_versions(entity.pk)])

    @extend_schema(
        summary="Restore an earlier version",
        parameters=[RestoreQuerySerializer],
        request=None,
        responses={200: EntitySerializer, 404: error("There is no such entity, or no such version of it.")},
    )
    def restore(self, request: Request, entity_id: str) -> Response:
        """Label, description and parent become what they were; that makes a version of its own."""
        query = validated(RestoreQuerySerializer(data=request.query_params), "query")
        services.restore_version(path_id(entity_id), query["version"], by=_caller_id(request))
        return self.answer(path_id(entity_id))


@functools.cache
def _with_extensions() -> EntityQuerySet:
    """Put together once: a query by id is answered faster than its parts are put together."""
    entities = Entity.objects.all()
    for extension in extensions.registered():
        entities = extension.prefetch(entities)
    return entities


@functools.cache
def _counted() -> EntityQuerySet:
    return _with_extensions().with_children_count().order_by()


def _caller_id(request: Request) -> str | None:
    store_id: str | None = getattr(request.user, "store_id", None)
    return store_id


def _least_bytes(request: Request) -> int:
    """That the request must bring as a file, by its stated length: told before any of it is received."""
    stated = request.META.get("CONTENT_LENGTH") or "0"
    return max(0, int(stated) - FORM_BYTES) if stated.isdecimal() else 0


def _create(form: dict[str, Any], *, by: str | None) -> services.StoredEntity:
    incoming = file_of(form)
    if form["is_collection"]:
        if incoming is not None:
            raise ContentNotAllowedError("A collection has no file; leave media_file out.")
        return services.StoredEntity(services.create_collection(**texts_of(form), by=by), created=True)
    if incoming is None:
        raise ContentRequiredError("A file is required: send it as media_file.")
    storage = EntityStorageService.from_settings()
    with quota.reserved(by, incoming.size) as reservation:
        stored = services.create_entity(storage=storage, incoming=incoming, **texts_of(form), by=by)
        reservation.is_used = stored.created
    return stored
