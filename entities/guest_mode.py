"""Guest mode: whether reading needs no token. Asked of the database each time: a change shows at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from entities.models import ServiceConfig

KEY = "guest_mode"


@dataclass(frozen=True)
class GuestMode:
    is_on: bool = True
    updated_at: datetime | None = None
    updated_by: str | None = None


def read_guest_mode() -> GuestMode:
    """On until somebody sets it. A value that is no boolean keeps guests out."""
    row = ServiceConfig.objects.filter(key=KEY).first()
    return GuestMode() if row is None else GuestMode(row.value is True, row.updated_at, row.updated_by)


def is_guest_mode_on() -> bool:
    return read_guest_mode().is_on


def set_guest_mode(*, is_on: bool, by: str | None) -> None:
    ServiceConfig.objects.update_or_create(key=KEY, defaults={"value": is_on, "updated_by": by})
