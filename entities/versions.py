"""Versions of entities: history rows as typed snapshots, numbered by their rank within the entity."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, Self

from django.db.models import F, OuterRef, QuerySet, Subquery, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from entities.errors import VersionNotFoundError
from entities.models import Entity
from entities.storage import EntityStorageService

History = Entity.history.model

SNAPSHOT_FIELDS = (
    *("id", "history_id", "history_type", "is_collection"),
    *("type", "md5", "width", "file_path", "is_deleted", "history_change_reason"),
)
IMPORTED = "Imported from a folder."
"""What history says of the first version of a file that was not uploaded."""


@dataclass(frozen=True)
class EntityVersionData:
    """An entity as one change left it. Work is described by this, never by a row that may have moved on."""

    id: int
    transaction_id: int
    is_collection: bool
    type: str | None
    md5: str | None
    width: int | None
    file_path: str | None
    is_deleted: bool
    is_removed: bool
    """The change was a removal for good."""
    is_import: bool = False

    @classmethod
    def from_history(cls, row: dict[str, Any]) -> Self:
        """From `.values(*SNAPSHOT_FIELDS)` of a history row."""
        return cls(
            id=row["id"],
            transaction_id=row["history_id"],
            is_collection=row["is_collection"],
            type=row["type"],
            md5=row["md5"],
            width=row["width"],
            file_path=row["file_path"],
            is_deleted=row["is_deleted"],
            is_removed=row["history_type"] == "-",
            is_import=row["history_change_reason"] == IMPORTED,
        )

    @property
    def is_picture(self) -> bool:
        """An image whose pixels can be read: a drawing such as SVG has no width."""
        return self.type == Entity.MediaType.IMAGE and self.md5 is not None and self.width is not None

    def get_file_path(self, storage: EntityStorageService) -> Path:
        """Raises ValueError when there is no file or its path leaves the media folder."""
        if not self.file_path:
            raise ValueError(f"entity {self.id} has no file")
        return storage.resolve(self.file_path)


def moved_collections(transaction_ids: Iterable[int]) -> set[int]:
    """Collections among the changes that were moved, trashed or restored: it concerns all below them."""
    before = History.objects.filter(id=OuterRef("id"), history_id__lt=OuterRef("history_id"))
    before = before.order_by("-history_id")
    changes = History.objects.filter(
        history_id__in=list(transaction_ids), history_type="~", is_collection=True
    ).annotate(
        parent_before=Subquery(before.values("parent_id")[:1]),
        deleted_before=Subquery(before.values("is_deleted")[:1]),
    )
    values = changes.values_list("id", "parent_id", "parent_before", "is_deleted", "deleted_before")
    return {
        pk
        for pk, parent, parent_before, deleted, deleted_before in values
        if (parent, deleted) != (parent_before, deleted_before)
    }


# --- By number --------------------------------------------------------------------------------------------

LARGEST_NUMBER = 2**31
CONTENT_FIELDS = tuple(field.attname for field in Entity._meta.concrete_fields if not field.primary_key)  # noqa: SLF001  (documented)


def get_version(entity_id: int, number: int) -> Any:
    """The history row; the first is number 1. Raises VersionNotFoundError."""
    rows = History.objects.filter(id=entity_id).order_by("history_id")
    row = rows[number - 1 : number].first() if 0 < number < LARGEST_NUMBER else None
    if row is None:
        raise VersionNotFoundError(number)
    return row


@dataclass(frozen=True)
class VersionSummary:
    version: int
    transaction_id: int
    end_transaction_id: int | None
    """Of the version that came after."""
    updated_date: datetime
    updated_by: str | None
    operation_type: str
    reason: str | None
    label: str | None
    description: str | None
    parent_id: int | None
    md5: str | None
    is_deleted: bool


def list_versions(entity_id: int) -> list[VersionSummary]:
    """Oldest first; none where there never was such an entity."""
    rows = list(History.objects.filter(id=entity_id).order_by("history_id"))
    followed_by = zip_longest(rows, (row.history_id for row in rows[1:]))
    return [_summary(number, row, end) for number, (row, end) in enumerate(followed_by, start=1)]


def _summary(number: int, row: Any, end: int | None) -> VersionSummary:
    return VersionSummary(
        version=number,
        transaction_id=row.history_id,
        end_transaction_id=end,
        updated_date=row.updated_date,
        updated_by=row.history_user_id,
        operation_type=row.get_history_type_display().lower(),
        reason=row.history_change_reason,
        label=row.label,
        description=row.description,
        parent_id=row.parent_id,
        md5=row.md5,
        is_deleted=row.is_deleted,
    )


def as_they_were(entities: Iterable[Entity], number: int) -> list[Entity]:
    """Those of `entities` that have this version, each with the values of then, with one query."""
    rows = {row.id: row for row in _numbered(entities, number)} if 0 < number < LARGEST_NUMBER else {}
    return [_as_it_was(entity, rows[entity.pk]) for entity in entities if entity.pk in rows]


def _numbered(entities: Iterable[Entity], number: int) -> QuerySet[Any]:
    rank = Window(RowNumber(), partition_by=F("id"), order_by=F("history_id").asc())
    rows = History.objects.filter(id__in=[entity.pk for entity in entities])
    numbered: QuerySet[Any] = rows.order_by().annotate(number=rank).filter(number=number)
    return numbered


def _as_it_was(entity: Entity, row: Any) -> Entity:
    """What belongs to the entity beside its row, such as its children, is as it is now."""
    entity.has_other_content = entity.md5 != row.md5
    for name in CONTENT_FIELDS:
        setattr(entity, name, getattr(row, name))
    return entity


# --- The last ---------------------------------------------------------------------------------------------


def write_last(entities: Iterable[Entity]) -> None:
    """Of rows that go for good, all at once."""
    now = timezone.now()
    History.objects.bulk_create(
        History(
            id=entity.pk,
            **{name: getattr(entity, name) for name in CONTENT_FIELDS},
            history_type="-",
            history_date=now,
            history_user_id=entity.updated_by,
        )
        for entity in entities
    )
