from __future__ import annotations

import copy
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from entities import hierarchy
from entities.api import extensions
from entities.api.signed_urls import signed_query
from entities.models import Entity
from entities.versions import VersionSummary

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


class MillisecondsField(serializers.IntegerField):
    """A moment as integer milliseconds since the epoch, UTC."""

    def to_representation(self, value: Any) -> int:
        return milliseconds(value)


def milliseconds(moment: datetime) -> int:
    """Exactly: a float of this size would lose the last one."""
    return (moment - EPOCH) // MILLISECOND


def _optional_milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else milliseconds(moment)


class EntitySerializer(serializers.Serializer[Entity]):
    """A photo, a video, another file, or a collection of them."""

    # Declared field by field for the schema, written by hand for speed.

    id = serializers.IntegerField()
    is_collection = serializers.BooleanField()
    label = serializers.CharField(allow_null=True)  # type: ignore[assignment]  # a field's label is another
    description = serializers.CharField(allow_null=True)
    parent_id = serializers.IntegerField(allow_null=True)
    children_count = serializers.IntegerField(help_text="Direct children that are not deleted.")
    added_date = MillisecondsField()
    updated_date = MillisecondsField()
    create_date = MillisecondsField(allow_null=True, help_text="When it was captured.")
    added_by = serializers.CharField(allow_null=True)
    updated_by = serializers.CharField(allow_null=True)
    file_size = serializers.IntegerField(allow_null=True, help_text="Bytes.")
    width = serializers.IntegerField(allow_null=True)
    height = serializers.IntegerField(allow_null=True)
    duration = serializers.FloatField(allow_null=True, help_text="Seconds.")
    mime_type = serializers.CharField(allow_null=True)
    type = serializers.ChoiceField(choices=Entity.MediaType.choices, allow_null=True)
    extension = serializers.CharField(allow_null=True)
    md5 = serializers.CharField(allow_null=True)
    file_path = serializers.CharField(allow_null=True)
    is_deleted = serializers.BooleanField()
    is_indirectly_deleted = serializers.BooleanField(help_text="A collection above it is deleted.")
    media_url = serializers.URLField(allow_null=True, help_text="Signed, for a time; needs no token.")
    preview_url = serializers.URLField(allow_null=True, help_text="Signed, for a time; needs no token.")

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        for extension in extensions.registered():
            fields.update(copy.deepcopy(extension.fields))  # a field belongs to one serializer
        return fields

    def to_representation(self, entity: Entity) -> dict[str, Any]:
        values: dict[str, Any] = {
            "id": entity.pk,
            "is_collection": entity.is_collection,
            "label": entity.label,
            "description": entity.description,
            "parent_id": entity.parent_id,
            "children_count": entity.children_count,
            "added_date": milliseconds(entity.added_date),
            "updated_date": milliseconds(entity.updated_date),
            "create_date": _optional_milliseconds(entity.create_date),
            "added_by": entity.added_by,
            "updated_by": entity.updated_by,
            "file_size": entity.file_size,
            "width": entity.width,
            "height": entity.height,
            "duration": entity.duration,
            "mime_type": entity.mime_type,
            "type": entity.type,
            "extension": entity.extension,
            "md5": entity.md5,
            "file_path": entity.file_path,
            "is_deleted": entity.is_deleted,
            "is_indirectly_deleted": entity.parent_id in self.context["deleted_parents"],
            **self._links(entity),
        }
        for extension in extensions.registered():
            values.update(extension.of_new if entity.was_just_made else extension.values(entity))
        return values

    def _links(self, entity: Entity) -> dict[str, str | None]:
        if entity.md5 is None or entity.has_other_content:
            return {"media_url": None, "preview_url": None}
        base = f"{self.context['base_url']}entities/{entity.pk}"
        query = signed_query(entity.pk)
        has_preview = entity.type in {Entity.MediaType.IMAGE, Entity.MediaType.VIDEO}
        return {
            "media_url": f"{base}/media?{query}",
            "preview_url": f"{base}/preview?{query}" if has_preview else None,
        }


def page_context(entities: Iterable[Entity], *, base_url: str) -> dict[str, Any]:
    """What the entities of one answer need beside their rows, with one query for all of them."""
    return {
        "deleted_parents": hierarchy.deleted_or_below_deleted(entity.parent_id for entity in entities),
        "base_url": base_url,
    }


class VersionSerializer(serializers.Serializer[VersionSummary]):
    version = serializers.IntegerField(help_text="Counted from 1.")
    transaction_id = serializers.IntegerField()
    end_transaction_id = serializers.IntegerField(allow_null=True, help_text="Of the next version.")
    updated_date = MillisecondsField()
    updated_by = serializers.CharField(allow_null=True)
    operation_type = serializers.CharField(help_text="created or changed.")
    reason = serializers.CharField(allow_null=True, help_text="Where it was not a client's own change.")
    label = serializers.CharField(allow_null=True)  # type: ignore[assignment]  # a field's label is another
    description = serializers.CharField(allow_null=True)
    parent_id = serializers.IntegerField(allow_null=True)
    md5 = serializers.CharField(allow_null=True)
    is_deleted = serializers.BooleanField()


class PaginationSerializer(serializers.Serializer[Any]):
    page = serializers.IntegerField()
    page_size = serializers.IntegerField()
    total_items = serializers.IntegerField()
    total_pages = serializers.IntegerField(help_text="0 when there is nothing.")
    has_next = serializers.BooleanField()
    has_prev = serializers.BooleanField()


@extend_schema_serializer(many=False)
class EntityPageSerializer(serializers.Serializer[Any]):
    items = EntitySerializer(many=True)
    pagination = PaginationSerializer()
