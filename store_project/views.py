"""What everybody may know: that the service is up, and what its worker is doing."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from entities.api.serializers import milliseconds
from entities.guest_mode import is_guest_mode_on
from intelligence import worker_status
from store_project.access import Access


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.CharField()
    service = serializers.CharField()
    version = serializers.CharField()
    guestMode = serializers.ChoiceField(choices=["on", "off"])  # noqa: N815  (the wire's spelling)


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
                "guestMode": "on" if is_guest_mode_on() else "off",
            }
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
