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
from intelligence import errand_notes
from store_project.access import Access
from store_project.authentication import caller


class NobodyAnswersError(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE


class GuestModeFormSerializer(serializers.Serializer[Any]):
    guest_mode = WordBooleanField(help_text="true: everybody may read.")


class PreferencesSerializer(serializers.Serializer[Any]):
    guest_mode = serializers.BooleanField()
    updated_at = serializers.IntegerField(allow_null=True, help_text="Milliseconds since the epoch.")
    updated_by = serializers.CharField(allow_null=True)


class GuestModeSerializer(serializers.Serializer[Any]):
    guest_mode = serializers.BooleanField()
    message = serializers.CharField()


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


class OrphanedFileSerializer(serializers.Serializer[Any]):
    file_path = serializers.CharField(help_text="Relative to the media folder.")
    absolute_path = serializers.CharField()


class OrphanedFaceSerializer(serializers.Serializer[Any]):
    face_id = serializers.IntegerField()
    entity_id = serializers.IntegerField()
    file_path = serializers.CharField(allow_null=True)


class OrphanedVectorSerializer(serializers.Serializer[Any]):
    vector_id = serializers.IntegerField()
    collection_name = serializers.CharField()


class OrphanedStatusSerializer(serializers.Serializer[Any]):
    entity_id = serializers.IntegerField()
    topic = serializers.CharField()


class AuditSerializer(serializers.Serializer[Any]):
    orphaned_files = OrphanedFileSerializer(many=True)
    orphaned_faces = OrphanedFaceSerializer(many=True)
    orphaned_vectors = OrphanedVectorSerializer(many=True)
    orphaned_mqtt = OrphanedStatusSerializer(many=True)
    numbers = serializers.DictField(
        child=serializers.IntegerField(), help_text="How much of each kind, what is missing included."
    )
    not_looked_at = serializers.ListField(
        child=serializers.CharField(), help_text="What did not answer, and so was not looked at."
    )


class ClearedSerializer(serializers.Serializer[Any]):
    files_deleted = serializers.IntegerField(help_text="Put into quarantine, for QUARANTINE_DAYS.")
    faces_deleted = serializers.IntegerField()
    vectors_deleted = serializers.IntegerField()
    mqtt_cleared = serializers.IntegerField()


BY_A_WORKER = {503: error("No worker answers, or it takes longer than five minutes: `manage.py audit` can.")}
ANSWER_SECONDS = 300.0
TAKEN_SECONDS = 10.0


def _by_a_worker(errand: str) -> Response:
    """Only workers see the files, the vectors and the broker all together."""
    try:
        found = errand_notes.leave(errand, {}, wait_seconds=ANSWER_SECONDS, untaken_seconds=TAKEN_SECONDS)
    except errand_notes.ErrandError as error:
        raise NobodyAnswersError(str(error)) from error
    return Response(found)


class AuditView(APIView):
    access = Access.ADMIN

    @extend_schema(
        summary="Look for what belongs to nothing", responses={200: AuditSerializer, **BY_A_WORKER}
    )
    def get(self, request: Request) -> Response:
        """Files, faces, vectors and kept statuses without an owner, at most 10,000 of each kind. Changes
        nothing, and leaves out what has changed within AUDIT_GRACE_SECONDS. What is missing is only counted
        here; `manage.py audit` names it.
        """
        return _by_a_worker("audit")


class ClearOrphansView(APIView):
    access = Access.ADMIN

    @extend_schema(
        summary="Remove what belongs to nothing",
        request=None,
        responses={200: ClearedSerializer, **BY_A_WORKER},
    )
    def post(self, request: Request) -> Response:
        """Each is looked at once more before it goes. Files are not deleted but put into quarantine."""
        return _by_a_worker("clear orphans")
