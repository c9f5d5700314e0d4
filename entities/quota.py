"""How many bytes one caller may store on one day (UPLOAD_BYTES_PER_DAY), counted for all processes together.

Bytes are taken before they are stored, and given back where they were not: two uploads at once cannot share
the last of them. What a crash leaves taken is free again the next day (UTC).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from entities.errors import QuotaExceededError
from entities.models import Tally

KIND = "quota"


class Reservation:
    is_used = True
    """Who has stored nothing says so."""


def require_room(by: str | None, size: int) -> None:
    """Before anything is received. Raises QuotaExceededError."""
    most = settings.UPLOAD_BYTES_PER_DAY
    if most and size > most - _taken(by):
        raise _exceeded()


@contextmanager
def reserved(by: str | None, size: int) -> Iterator[Reservation]:
    """Raises QuotaExceededError."""
    if not settings.UPLOAD_BYTES_PER_DAY:
        yield Reservation()
        return
    _take(by, size)
    reservation = Reservation()
    stored = False
    try:
        yield reservation
        stored = reservation.is_used
    finally:
        if not stored:
            _today(by).update(amount=F("amount") - size)


def _take(by: str | None, size: int) -> None:
    today = _names(by)
    with transaction.atomic():
        if not Tally.objects.filter(**today).exists():
            Tally.objects.filter(kind=KIND, detail__lt=today["detail"]).delete()
            Tally.objects.bulk_create([Tally(**today)], ignore_conflicts=True)
        room = Tally.objects.filter(**today, amount__lte=settings.UPLOAD_BYTES_PER_DAY - size)
        if not room.update(amount=F("amount") + size, number=F("number") + 1):
            raise _exceeded()


def _taken(by: str | None) -> float:
    return _today(by).values_list("amount", flat=True).first() or 0.0


def _today(by: str | None) -> QuerySet[Tally]:
    return Tally.objects.filter(**_names(by))


def _names(by: str | None) -> dict[str, str]:
    subject = hashlib.sha256((by or "").encode()).hexdigest()
    return {"kind": KIND, "subject": subject, "detail": f"{timezone.now():%F}"}


def _exceeded() -> QuotaExceededError:
    now = timezone.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return QuotaExceededError(
        f"No more than {settings.UPLOAD_BYTES_PER_DAY} bytes can be stored in a day; go on tomorrow (UTC).",
        wait_seconds=(midnight - now).total_seconds(),
    )
