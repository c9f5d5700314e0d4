"""The bytes of an entity. A signed link stands in for a permission: see the actions' names in access."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from entities import streams
from entities.api.documentation import error, file_of
from entities.api.errors import BadRequestError
from entities.api.files import file_response
from entities.api.forms import PreviewQuerySerializer, SignatureSerializer, StreamQuerySerializer
from entities.api.validation import path_id, validated
from entities.api.views import EntityView
from entities.models import Entity
from entities.previews import PreviewService, PreviewUnavailableError
from entities.storage import EntityStorageService

_STREAM_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(\.m3u8|\.ts)")


OF_A_COLLECTION = {400: error("The entity is a collection; it has no file.")}


class EntityFileViewSet(EntityView):
    """The bytes of an entity."""

    @extend_schema(
        summary="Download the file",
        parameters=[SignatureSerializer],
        responses={**file_of("*/*", "The bytes as they were uploaded, with their type."), **OF_A_COLLECTION},
    )
    def media(self, request: Request, entity_id: str) -> HttpResponseBase:
        """Without a token where the link is signed, as the entity's media_url is."""
        entity, path = _entity_with_file(path_id(entity_id))
        try:
            return file_response(
                request,
                path,
                mime_type=entity.mime_type,
                name=f"{entity.md5}.{entity.extension}",
                etag=entity.md5 or "",
            )
        except FileNotFoundError as error:
            raise NotFound("Media file not found") from error

    @extend_schema(
        summary="Show the preview",
        parameters=[PreviewQuerySerializer, SignatureSerializer],
        responses={
            **file_of("image/png", "At most 256 pixels wide; of a video a sheet of its pictures."),
            **OF_A_COLLECTION,
            404: error("There is no such entity, or no preview of what it is."),
            507: error("The disk is full."),
        },
    )
    def preview(self, request: Request, entity_id: str) -> HttpResponseBase:
        """Made when it is first asked for, whether that is forced or not."""
        validated(PreviewQuerySerializer(data=request.query_params), "query")
        entity, path = _entity_with_file(path_id(entity_id))
        md5 = entity.md5 or ""
        previews = PreviewService(Path(settings.MEDIA_ROOT), max_pixels=settings.MAX_IMAGE_PIXELS)
        try:
            preview = previews.ensure(path, md5, entity.type or "")
            return file_response(
                request, preview, mime_type="image/png", name=f"{md5}.tb.png", etag=f"{md5}.tb"
            )
        except PreviewUnavailableError as error:
            raise NotFound(f"Preview file not found: {error}") from error
        except FileNotFoundError as error:
            raise NotFound("Media file not found") from error


class EntityStreamViewSet(EntityView):
    """A video in parts, for players."""

    @extend_schema(
        summary="Play a video: the manifest or one of its parts",
        parameters=[StreamQuerySerializer, SignatureSerializer],
        responses={
            **file_of("application/vnd.apple.mpegurl", "The manifest, or a playlist."),
            **file_of("video/mp2t", "A part of the video."),
            400: error("The entity is a collection, or the name holds a path."),
            404: error("There is no such stream; of a manifest the text is `hls_failed`."),
        },
    )
    def stream(self, request: Request, entity_id: str, filename: str) -> HttpResponseBase:
        """Streams are not made yet: what lies in a stream's folder is served."""
        if "\\" in filename:
            raise BadRequestError("A stream's file is named without a path.")
        if filename == streams.MANIFEST:
            validated(StreamQuerySerializer(data=request.query_params), "query")
            return self._manifest(path_id(entity_id))
        return self._file(path_id(entity_id), filename)

    def _manifest(self, entity_id: int) -> HttpResponseBase:
        """Clients know no other reason than that there is no stream."""
        try:
            return self._file(entity_id, streams.MANIFEST)
        except (NotFound, BadRequestError) as error:
            raise NotFound("hls_failed") from error

    def _file(self, entity_id: int, filename: str) -> HttpResponseBase:
        folder = _stream_folder(entity_id)
        if not _STREAM_FILE.fullmatch(filename):
            raise NotFound("Stream file not found")
        path = EntityStorageService.from_settings().resolve(f"{folder}/{filename}")
        try:
            return file_response(
                self.request,
                path,
                mime_type=streams.MIME_TYPES[path.suffix],
                name=filename,
                etag=f"{filename}-{path.stat().st_mtime_ns}",
            )
        except FileNotFoundError as error:
            raise NotFound("Stream file not found") from error

    @extend_schema(summary="Remove the stream of a video", responses={204: None})
    def remove_stream(self, request: Request, entity_id: str) -> Response:
        """Also where there is none."""
        with suppress(BadRequestError):
            EntityStorageService.from_settings().remove_folder(_stream_folder(path_id(entity_id)))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _find(entity_id: int) -> Entity:
    entity = Entity.objects.filter(pk=entity_id).first()
    if entity is None:
        raise NotFound("Entity not found")
    if entity.is_collection:
        raise BadRequestError("Entity is a collection")
    return entity


def _stream_folder(entity_id: int) -> str:
    return streams.folder_of(entity_id, _find(entity_id).mime_type or "")


def _entity_with_file(entity_id: int) -> tuple[Entity, Path]:
    entity = _find(entity_id)
    return entity, EntityStorageService.from_settings().resolve(entity.file_path or "")
