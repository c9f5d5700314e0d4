"""What clients send: form fields and query parameters. In a form, empty text means none."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from entities.api.uploads import FILE_FIELDS, ReceivedFile
from entities.api.validation import WordBooleanField
from entities.models import LABEL_LENGTH
from entities.services import Changes
from entities.storage import IncomingFile

PARENT_HELP = "The collection above it; empty for none."


class TextsSerializer(serializers.Serializer[Any]):
    label = serializers.CharField(  # type: ignore[assignment]  # a field's label is another
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        max_length=LABEL_LENGTH,
        help_text="Its name.",
    )
    description = serializers.CharField(
        required=False,
        allow_blank=True,
        trim_whitespace=False,
        help_text="Any text, searched like the label.",
    )
    parent_id = serializers.IntegerField(required=False, allow_null=True, help_text=PARENT_HELP)


class CollectionFormSerializer(TextsSerializer):
    """What creates an entity without a file."""

    is_collection = WordBooleanField(help_text="Fixed once the entity exists.")


class EntityFormSerializer(CollectionFormSerializer):
    """What creates an entity."""

    media_file = serializers.FileField(
        required=False,
        allow_empty_file=True,
        help_text="What a photo, a video or another file consists of. A collection has none.",
    )
    image = serializers.FileField(
        required=False, allow_empty_file=True, help_text="Another name for media_file, which wins."
    )


class ReplacementTextsSerializer(CollectionFormSerializer):
    """What replaces an entity's texts and parent."""

    label = serializers.CharField(  # type: ignore[assignment]  # a field's label is another
        allow_blank=True,
        trim_whitespace=False,
        max_length=LABEL_LENGTH,
        help_text="Its name; empty for none.",
    )


class ReplacementFormSerializer(ReplacementTextsSerializer, EntityFormSerializer):
    """What replaces an entity's texts and parent, and its file if there is one."""

    media_file = serializers.FileField(
        required=False, allow_empty_file=True, help_text="The new content; without it the file stays."
    )


class PatchFormSerializer(TextsSerializer):
    """What changes an entity. A field that is absent stays as it is; empty text removes what was there."""

    is_deleted = WordBooleanField(required=False, help_text="true: into the trash; false: out of it.")


def texts_of(form: dict[str, Any]) -> dict[str, Any]:
    return {
        "label": form.get("label") or None,
        "description": form.get("description") or None,
        "parent_id": form.get("parent_id"),
    }


def changes_of(form: dict[str, Any]) -> Changes:
    changes = Changes()
    if "label" in form:
        changes["label"] = form["label"] or None
    if "description" in form:
        changes["description"] = form["description"] or None
    if "parent_id" in form:
        changes["parent_id"] = form["parent_id"]
    if "is_deleted" in form:
        changes["is_deleted"] = form["is_deleted"]
    return changes


def file_of(form: dict[str, Any]) -> IncomingFile | None:
    uploads = (form.get(name) for name in FILE_FIELDS)
    return next((upload.incoming for upload in uploads if isinstance(upload, ReceivedFile)), None)


class PageSerializer(serializers.Serializer[Any]):
    page = serializers.IntegerField(min_value=1, default=1, help_text="One past the end is empty.")
    page_size = serializers.IntegerField(
        min_value=1, max_value=100, default=20, help_text="How many entities a page holds."
    )
    version = serializers.IntegerField(
        required=False,
        help_text="Show each entity as this version of it was, and leave out those without it.",
    )


class VersionQuerySerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(required=False, help_text="Counted from 1.")


class RestoreQuerySerializer(serializers.Serializer[Any]):
    version = serializers.IntegerField(help_text="Counted from 1.")


class LookupQuerySerializer(serializers.Serializer[Any]):
    md5 = serializers.CharField(required=False, allow_blank=True, help_text="Of a file.")
    label = serializers.CharField(  # type: ignore[assignment]  # a field's label is another
        required=False, allow_blank=True, trim_whitespace=False, help_text="Of a collection, exactly."
    )


class SignatureSerializer(serializers.Serializer[Any]):
    """What a signed link carries instead of a token; for the schema."""

    expires = serializers.IntegerField(required=False, help_text="Of a signed link: seconds since the epoch.")
    signature = serializers.CharField(required=False, help_text="Of a signed link, as the entity tells it.")


class PreviewQuerySerializer(serializers.Serializer[Any]):
    force = WordBooleanField(default=False, help_text="Sent by clients; a preview is made either way.")


class StreamQuerySerializer(serializers.Serializer[Any]):
    wait = WordBooleanField(default=False, help_text="Only for the manifest, adaptive.m3u8.")
