"""What everybody may know: that the service is up, and what its worker is doing."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from entities.api.serializers import milliseconds
from entities.guest_mode import is_guest_mode_on
from entities.models import ServiceConfig
from store_project.access import Access

WORKER_STATUS_KEY = "worker_status"


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.CharField()
    service = serializers.CharField()
    version = serializers.CharField()
    guestMode = serializers.ChoiceField(choices=["on", "off"])  # noqa: N815  (the wire's spelling)


class WorkerStatusSerializer(serializers.Serializer[Any]):
    status = serializers.CharField()
    timestamp = serializers.IntegerField(help_text="Milliseconds since the epoch.")
    version_start = serializers.IntegerField(allow_null=True)
    version_end = serializers.IntegerField(allow_null=True)
    processed_count = serializers.IntegerField(allow_null=True)


class HealthView(APIView):
    """The service is up; clients read here whether guests may read."""

    access = Access.PUBLIC

    @extend_schema(responses=HealthSerializer)
    def get(self, request: Request) -> Response:
        return Response(
            {
                "status": "healthy",
                "service": "CoLAN Store Server",
                "version": "v1",
                "guestMode": "on" if is_guest_mode_on() else "off",
            }
        )


class WorkerStatusView(APIView):
    """What the worker said last."""

    access = Access.PUBLIC

    @extend_schema(responses=WorkerStatusSerializer)
    def get(self, request: Request) -> Response:
        said = _worker_status()
        return Response(
            {
                "status": said.get("status", "unknown"),
                "timestamp": said.get("timestamp", milliseconds(timezone.now())),
                "version_start": said.get("version_start"),
                "version_end": said.get("version_end"),
                "processed_count": said.get("processed_count"),
            }
        )


def _worker_status() -> dict[str, Any]:
    row = ServiceConfig.objects.filter(key=WORKER_STATUS_KEY).first()
    return row.value if row is not None and isinstance(row.value, dict) else {}
