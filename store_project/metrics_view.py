"""`/metrics`, for a scraper that has the token for it, and for administrators."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse
from django.utils.crypto import constant_time_compare
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.views import APIView

from store_project.access import Access
from store_project.authentication import (
    BrowserSessionAuthentication,
    Principal,
    TokenAuthentication,
)
from store_project.metrics import REGISTRY

SCRAPER = Principal(store_id=None, is_admin=True, name="scraper")


class ScraperAuthentication(BaseAuthentication):
    """`Authorization: Bearer METRICS_TOKEN`. Of this one view: elsewhere it is no token at all."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        expected = f"Bearer {settings.METRICS_TOKEN}"
        given = request.headers.get("Authorization", "")
        if settings.METRICS_TOKEN and constant_time_compare(given, expected):
            return SCRAPER, None
        return None

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class ScraperScheme(OpenApiAuthenticationExtension):
    target_class = "store_project.metrics_view.ScraperAuthentication"
    name = "scraper"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "METRICS_TOKEN"}


class MetricsView(APIView):
    access = Access.ADMIN
    authentication_classes = (ScraperAuthentication, TokenAuthentication, BrowserSessionAuthentication)

    @extend_schema(
        tags=["system"],
        summary="Show the metrics",
        responses={
            (200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, "In the text format of Prometheus."),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        """Of this process its requests; of the whole store how it stands, and what all have done."""
        return HttpResponse(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)
