"""Versions of entities: history rows as typed snapshots, numbered by their rank within the entity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from entities.models import Entity
from entities.storage import EntityStorageService

History = Entity.history.model

SNAPSHOT_FIELDS = ("id", "history_id", "history_type", "type", "md5", "width", "file_path", "is_deleted")


@dataclass(frozen=True)
class EntityVersionData:
    """An entity as one change left it. Work is described by this, never by a row that may have moved on."""

    id: int
    transaction_id: int
    type: str | None
    md5: str | None
    width: int | None
    file_path: str | None
    is_deleted: bool
    is_removed: bool
    """The change was a removal for good."""

    @classmethod
    def from_history(cls, row: dict[str, Any]) -> Self:
        """From `.values(*SNAPSHOT_FIELDS)` of a history row."""
        return cls(
            id=row["id"],
            transaction_id=row["history_id"],
            type=row["type"],
            md5=row["md5"],
            width=row["width"],
            file_path=row["file_path"],
            is_deleted=row["is_deleted"],
            is_removed=row["history_type"] == "-",
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
