from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, TypeVar

BATCH_SIZE = 1000

T = TypeVar("T")


class Kind(StrEnum):
    """What can be wrong with entities and their files."""

    LOST_ENTITY = "lost_entity"
    """History says that it lives, and there is no row."""
    MISSING_FILE = "missing_file"
    ALTERED_FILE = "altered_file"
    """Of another size than the row says, or (deep) of other bytes."""
    ORPHANED_FILE = "orphaned_file"
    """In store or streams, and no row names it."""
    ORPHANED_PREVIEW = "orphaned_preview"
    DAMAGED_PREVIEW = "damaged_preview"
    LEFTOVER = "leftover"
    """Half-written by a process that died."""
    WRONG_COUNT = "wrong_count"


class Outcome(StrEnum):
    """What became of a finding when it was to be mended."""

    MENDED = "mended"
    ASKED = "asked for again"
    """Workers make it anew."""
    GONE = "not so any more"
    LEFT = "cannot be mended"


@dataclass(frozen=True)
class Finding:
    kind: str
    note: str = ""
    entity_id: int | None = None
    face_id: int | None = None
    vector_id: int | None = None
    file_path: str | None = None
    """Relative to the media folder."""
    collection: str | None = None
    model: str | None = None
    topic: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value not in (None, "")}

    def __str__(self) -> str:
        told = self.as_json()
        where = " ".join(f"{name}={value}" for name, value in told.items() if name not in {"kind", "note"})
        return f"{self.kind}: {where}{f' ({self.note})' if self.note else ''}"


@dataclass(frozen=True)
class Scope:
    settled_before: datetime
    """What has changed later may be on its way: it is left alone."""
    since: datetime | None = None
    """Only what has changed then or later."""
    deep: bool = False
    """Reads every file and compares its bytes."""

    def has(self, moment: datetime) -> bool:
        return moment < self.settled_before and (self.since is None or moment >= self.since)

    def of(self, field: str) -> dict[str, datetime]:
        """For a filter of rows."""
        since = {} if self.since is None else {f"{field}__gte": self.since}
        return {f"{field}__lt": self.settled_before, **since}


def batched(items: Iterable[T], size: int = BATCH_SIZE) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
