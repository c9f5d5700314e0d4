"""What everybody may know: that the service is up, and what its worker is doing."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from entities.api.serializers import milliseconds
from entities.guest_mode import is_guest_mode_on
from intelligence import worker_status
from store_project import readiness
from store_project.access import Access


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.CharField()
    service = serializers.CharField()
    version = serializers.CharField(help_text="Of the interface; see `release` for the program's.")
    release = serializers.CharField()
    guestMode = serializers.ChoiceField(choices=["on", "off"])  # noqa: N815  (the wire's spelling)


class LiveSerializer(serializers.Serializer[Any]):
    status = serializers.CharField()
    release = serializers.CharField()


class PartSerializer(serializers.Serializer[Any]):
    word = serializers.CharField()
    is_well = serializers.BooleanField()
    needed = serializers.BooleanField(help_text="Without it the answer is 503.")
    age_seconds = serializers.FloatField(
        allow_null=True, help_text="Since it was last found well; null where it never was."
    )


class ReadySerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=["ready", "degraded", "not ready"])
    release = serializers.CharField()
    parts = serializers.DictField(child=PartSerializer())


class WorkerStatusSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=list(worker_status.Word))
    timestamp = serializers.IntegerField(help_text="Milliseconds since the epoch.")
    version_start = serializers.IntegerField(allow_null=True)
    version_end = serializers.IntegerField(allow_null=True)
    processed_count = serializers.IntegerField(allow_null=True)


class HealthView(APIView):
    access = Access.PUBLIC

    @extend_schema(tags=["health"], summary="Ask whether the service is up", responses=HealthSerializer)
    def get(self, request: Request) -> Response:
        """Also tells clients whether guests may read."""
        return Response(
            {
                "status": "healthy",
                "service": "CoLAN Store Server",
                "version": "v1",
                "release": settings.VERSION,
                "guestMode": "on" if is_guest_mode_on() else "off",
            }
        )


class LiveView(APIView):
    access = Access.PUBLIC

    @extend_schema(tags=["health"], summary="Ask whether the process lives", responses=LiveSerializer)
    def get(self, request: Request) -> Response:
        """Touches nothing else: where this does not answer, the process has to be started again."""
        return Response({"status": "alive", "release": settings.VERSION})


class ReadyView(APIView):
    access = Access.PUBLIC

    @extend_schema(
        tags=["health"],
        summary="Ask whether all it needs is there",
        responses={
            200: OpenApiResponse(ReadySerializer, "Media are stored and shown; see the parts for the rest."),
            503: OpenApiResponse(ReadySerializer, "A part that is needed is missing."),
        },
    )
    def get(self, request: Request) -> Response:
        """Looks at every part at once and answers within two seconds, whatever hangs."""
        found = readiness.look()
        parts = {
            name: {
                "word": part.word,
                "is_well": part.is_well,
                "needed": name in readiness.NEEDED,
                "age_seconds": None if part.age_seconds is None else round(part.age_seconds, 1),
            }
            for name, part in found.parts.items()
        }
        status = HTTPStatus.OK if found.is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(
            {"status": found.word, "release": settings.VERSION, "parts": parts},
            status=status,
            headers={"Cache-Control": "no-store"},
        )


class WorkerStatusView(APIView):
    access = Access.PUBLIC

    @extend_schema(tags=["health"], summary="Ask what the worker does", responses=WorkerStatusSerializer)
    def get(self, request: Request) -> Response:
        """What it said last, or that it has died; `unknown` where it has said nothing yet."""
        said = worker_status.read()
        return Response(
            {
                "status": said.status,
                "timestamp": milliseconds(said.timestamp),
                "version_start": said.version_start,
                "version_end": said.version_end,
                "processed_count": said.processed_count,
            }
        )
