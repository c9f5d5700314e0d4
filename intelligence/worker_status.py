"""What the worker is doing: kept in a row, so that every process can tell, and with no broker at all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from django.utils import timezone

from entities.models import ServiceConfig
from intelligence import announce
from intelligence.models import EntitySyncState

KEY = "worker_status"
REFRESH = timedelta(seconds=15)
"""How often a worker shows that it lives; seldom enough to let a disk sleep a little."""
STALE = 3 * REFRESH
"""A worker that was not heard for this long has died."""


class Word(StrEnum):
    UNKNOWN = "unknown"
    RUNNING = "running"
    IDLE = "idle"
    OFFLINE = "offline"


@dataclass(frozen=True)
class WorkerStatus:
    status: Word
    timestamp: datetime
    """When the worker was last heard."""
    version_start: int | None = None
    version_end: int | None = None
    processed_count: int | None = None
    """How many changes the last pass has read; -1 while one runs."""


def read() -> WorkerStatus:
    row = ServiceConfig.objects.filter(key=KEY).first()
    if row is None:
        return WorkerStatus(Word.UNKNOWN, timezone.now())
    said = _said(row)
    died = row.updated_at < timezone.now() - STALE and said["status"] in {Word.RUNNING, Word.IDLE}
    return WorkerStatus(
        Word.OFFLINE if died else Word(said["status"]),
        row.updated_at,
        said.get("version_start"),
        said.get("version_end"),
        said.get("processed_count"),
    )


def _said(row: ServiceConfig) -> dict[str, Any]:
    """People can write these rows too."""
    value = row.value if isinstance(row.value, dict) else {}
    return value if value.get("status") in set(Word) else {"status": Word.UNKNOWN}


def worker_started() -> None:
    """Whatever was said before: a pass that was cut off is not running any more."""
    state = EntitySyncState.objects.filter(pk=1).first()
    version = 0 if state is None else state.last_version
    _say(Word.IDLE, version_start=version, version_end=version, processed_count=0)


def pass_started(version: int) -> None:
    _say(Word.RUNNING, version_start=version, version_end=None, processed_count=-1)


def pass_ended(version_start: int, version_end: int, processed_count: int) -> None:
    _say(Word.IDLE, version_start=version_start, version_end=version_end, processed_count=processed_count)


def worker_stopped() -> None:
    _say(Word.OFFLINE)


def beat() -> None:
    """This worker lives, whatever another has said when it stopped."""
    now = timezone.now()
    row = ServiceConfig.objects.filter(key=KEY).first()
    if row is None or _said(row)["status"] not in {Word.RUNNING, Word.IDLE}:
        worker_started()
    elif row.updated_at < now - REFRESH:
        ServiceConfig.objects.filter(key=KEY).update(updated_at=now)  # the word may change meanwhile


def _say(status: Word, **values: int | None) -> None:
    ServiceConfig.objects.update_or_create(key=KEY, defaults={"value": {"status": status, **values}})
    announce.worker()
