"""What administrators see and change while the service runs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from entities.api.serializers import milliseconds
from entities.api.validation import WordBooleanField, validated
from entities.guest_mode import read_guest_mode, set_guest_mode
from store_project.access import Access
from store_project.authentication import caller


class NotYetError(APIException):
    status_code = status.HTTP_501_NOT_IMPLEMENTED
    default_detail = "not available yet"


class GuestModeFormSerializer(serializers.Serializer[Any]):
    guest_mode = WordBooleanField()


class PreferencesSerializer(serializers.Serializer[Any]):
    guest_mode = serializers.BooleanField()
    updated_at = serializers.IntegerField(allow_null=True, help_text="Milliseconds since the epoch.")
    updated_by = serializers.CharField(allow_null=True)


class GuestModeSerializer(serializers.Serializer[Any]):
    guest_mode = serializers.BooleanField()
    message = serializers.CharField()


class NotYetSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()


class PreferencesView(APIView):
    access = Access.ADMIN

    @extend_schema(responses=PreferencesSerializer)
    def get(self, request: Request) -> Response:
        guest_mode = read_guest_mode()
        changed = guest_mode.updated_at
        return Response(
            {
                "guest_mode": guest_mode.is_on,
                "updated_at": None if changed is None else milliseconds(changed),
                "updated_by": guest_mode.updated_by,
            }
        )


class GuestModeView(APIView):
    """Whether reading needs no token."""

    access = Access.ADMIN
    parser_classes = (FormParser, MultiPartParser)

    @extend_schema(request=GuestModeFormSerializer, responses=GuestModeSerializer)
    def put(self, request: Request) -> Response:
        is_on = validated(GuestModeFormSerializer(data=request.data), "body")["guest_mode"]
        set_guest_mode(is_on=is_on, by=caller(request).store_id)
        message = "Everybody may read now." if is_on else "Reading needs a token now."
        return Response({"guest_mode": is_on, "message": message})


class AuditView(APIView):
    access = Access.ADMIN

    @extend_schema(responses={501: NotYetSerializer})
    def get(self, request: Request) -> Response:
        raise NotYetError


class ClearOrphansView(APIView):
    access = Access.ADMIN

    @extend_schema(request=None, responses={501: NotYetSerializer})
    def post(self, request: Request) -> Response:
        raise NotYetError
