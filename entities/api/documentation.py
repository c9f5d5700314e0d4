"""Words with which views describe, in the OpenAPI schema, what they are sent and what they answer."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema_field
from rest_framework import serializers

FORM, MULTIPART, JSON = "application/x-www-form-urlencoded", "multipart/form-data", "application/json"

FAULT = {
    "type": "object",
    "properties": {
        "type": {"type": "string"},
        "loc": {
            "type": "array",
            "items": {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            "description": "Where: body, query or path; then which.",
        },
        "msg": {"type": "string", "description": "What would be right."},
        "input": {"nullable": True, "description": "What was given."},
    },
    "required": ["type", "loc", "msg", "input"],
}


class ErrorSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField(help_text="What is wrong, and what to do.")


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "array", "items": FAULT}]})
class TextOrFaultsField(serializers.JSONField):
    pass


class FaultsSerializer(serializers.Serializer[Any]):
    detail = TextOrFaultsField(help_text="A text, or for each field that is wrong what and where.")


def error(text: str) -> OpenApiResponse:
    return OpenApiResponse(ErrorSerializer, text)


VECTORS_AWAY = {503: error("The vector store cannot be asked at the moment; try again later.")}
FILE_ERRORS = {
    413: error("The file, or the request, is larger than the limit; the text names it."),
    429: error("The caller has stored as much as may be stored in a day; `Retry-After` says when to go on."),
    507: error("The disk is full. Nothing was stored."),
}


def file_of(media_type: str, text: str) -> dict[Any, Any]:
    """What a route of files answers: ranges and conditions are understood."""
    return {
        (200, media_type): OpenApiResponse(OpenApiTypes.BINARY, text),
        (206, media_type): OpenApiResponse(OpenApiTypes.BINARY, "The part that `Range` asks for."),
        304: OpenApiResponse(None, "It is still what `If-None-Match` or `If-Modified-Since` names."),
        416: error("`Range` begins past the end; `Content-Range` tells the size."),
    }
