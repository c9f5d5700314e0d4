from __future__ import annotations

from django.http import HttpRequest, JsonResponse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from entities.guest_mode import is_guest_mode_on


class HealthView(APIView):
    """The service is up; clients read here whether guests may read."""

    access = "public"

    def get(self, request: Request) -> Response:
        return Response(
            {
                "status": "healthy",
                "service": "CoLAN Store Server",
                "version": "v1",
                "guestMode": "on" if is_guest_mode_on() else "off",
            }
        )


def unknown_path(_request: HttpRequest, exception: Exception) -> JsonResponse:  # noqa: ARG001 (Django's call)
    return JsonResponse({"detail": "Not Found"}, status=404)
