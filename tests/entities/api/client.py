"""Speaking to the API as clients do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from entities.models import Entity
from entities.storage import EntityStorageService

URLENCODED = "application/x-www-form-urlencoded"
ENTITY_KEYS = {
    *("id", "is_collection", "label", "description", "parent_id", "children_count"),
    *("added_date", "updated_date", "create_date", "added_by", "updated_by"),
    *("file_size", "width", "height", "duration", "mime_type", "type", "extension", "md5", "file_path"),
    *("is_deleted", "is_indirectly_deleted"),
}
"""The keys that every client counts on."""


@dataclass(frozen=True)
class Api:
    client: APIClient

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(path, query)

    def send(self, method: str, path: str, **form: Any) -> Any:
        """As multipart."""
        return getattr(self.client, method)(path, form, format="multipart")

    def send_urlencoded(self, method: str, path: str, **form: Any) -> Any:
        return getattr(self.client, method)(path, urlencode(form), content_type=URLENCODED)

    def ids(self, **query: Any) -> list[int]:
        answer = self.get("/entities", **query)
        assert answer.status_code == 200, answer.content
        return [item["id"] for item in answer.json()["items"]]


def upload(content: bytes, name: str = "photo.jpg") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, content_type="image/jpeg")


def faulty_fields(answer: Any) -> set[str]:
    """The fields that a 422 names, each in the shape that clients expect of a fault."""
    assert answer.status_code == 422, answer.content
    faults = answer.json()["detail"]
    assert all({"type", "loc", "msg", "input"} <= fault.keys() for fault in faults)
    return {".".join(fault["loc"]) for fault in faults}


def media_files(folder: str = "") -> list[str]:
    """What lies in the media folder, or below one of its folders."""
    root = EntityStorageService.from_settings().media_root
    return sorted(str(path.relative_to(root)) for path in (root / folder).rglob("*") if path.is_file())


def trash(*entities: Entity) -> None:
    Entity.objects.filter(pk__in=[entity.pk for entity in entities]).update(is_deleted=True)


def date_back(entities: Iterable[Entity]) -> None:
    """Gives them dates of arrival a second apart, the first one oldest."""
    for number, entity in enumerate(entities):
        moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=number)
        Entity.objects.filter(pk=entity.pk).update(added_date=moment)
