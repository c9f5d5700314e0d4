"""What administrators see and change while the service runs."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import APIException
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from entities.api.documentation import FORM, MULTIPART, error
from entities.api.parsers import MultiPartParser
from entities.api.serializers import milliseconds
from entities.api.validation import WordBooleanField, validated
from entities.guest_mode import read_guest_mode, set_guest_mode
from store_project.access import Access
from store_project.authentication import caller


class NotYetError(APIException):
    status_code = status.HTTP_501_NOT_IMPLEMENTED
    default_detail = "not available yet"


class GuestModeFormSerializer(serializers.Serializer[Any]):
    guest_mode = WordBooleanField(help_text="true: everybody may read.")


class PreferencesSerializer(serializers.Serializer[Any]):
    guest_mode = serializers.BooleanField()
    updated_at = serializers.IntegerField(allow_null=True, help_text="Milliseconds since the epoch.")
    updated_by = serializers.CharField(allow_null=True)


class GuestModeSerializer(serializers.Serializer[Any]):
    guest_mode = serializers.BooleanField()
    message = serializers.CharField()


NOT_YET = {501: error("Not available yet.")}


class PreferencesView(APIView):
    access = Access.ADMIN

    @extend_schema(summary="Show the preferences", responses=PreferencesSerializer)
    def get(self, request: Request) -> Response:
        """What administrators can set, and who set it last."""
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
    access = Access.ADMIN
    parser_classes = (FormParser, MultiPartParser)

    @extend_schema(
        summary="Set guest mode",
        request={FORM: GuestModeFormSerializer, MULTIPART: GuestModeFormSerializer},
        responses=GuestModeSerializer,
    )
    def put(self, request: Request) -> Response:
        """Whether everybody may read, without a token. Holds at once, in every process."""
        is_on = validated(GuestModeFormSerializer(data=request.data), "body")["guest_mode"]
        set_guest_mode(is_on=is_on, by=caller(request).store_id)
        message = "Everybody may read now." if is_on else "Reading needs a token now."
        return Response({"guest_mode": is_on, "message": message})


class AuditView(APIView):
    access = Access.ADMIN

    @extend_schema(summary="Look for what belongs to nothing", responses=NOT_YET)
    def get(self, request: Request) -> Response:
        """Files, faces and vectors without an owner."""
        raise NotYetError


class ClearOrphansView(APIView):
    access = Access.ADMIN

    @extend_schema(summary="Remove what belongs to nothing", request=None, responses=NOT_YET)
    def post(self, request: Request) -> Response:
        """Files, faces and vectors without an owner."""
        raise NotYetError
