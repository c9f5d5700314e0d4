"""Who made a change: history keeps the principal's id as text, since principals may live outside Django."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

from simple_history.manager import HistoryManager
from simple_history.models import HistoricalRecords


def current_user(*, instance: Any, request: Any = None, **_others: Any) -> str | None:
    """Whom the row itself names as its last writer; where rows name nobody, whoever makes the request."""
    if hasattr(instance, "updated_by"):
        writer: str | None = instance.updated_by
        return writer
    return _principal_id(getattr(request, "user", None))


def _principal_id(user: Any) -> str | None:
    if user is None or not user.is_authenticated:
        return None
    if hasattr(user, "store_id"):
        bearer: str | None = user.store_id
        return bearer
    return str(user.pk)  # a Django user, in the admin


def get_user(historical_row: Any) -> str | None:
    user: str | None = historical_row.history_user_id
    return user


def set_user(historical_row: Any, user: str | None) -> None:
    historical_row.history_user_id = user


_is_written = ContextVar("_is_written", default=False)


class CachedHistoryManager(HistoryManager):  # type: ignore[misc]  # simple_history is not typed
    @classmethod
    @cache
    def from_queryset(cls, queryset_class: Any, class_name: str | None = None) -> Any:
        """Else simple_history makes a new class for each row that it writes."""
        return super().from_queryset(queryset_class, class_name)


class History(HistoricalRecords):  # type: ignore[misc]  # simple_history is not typed
    def __init__(self, **options: Any) -> None:
        super().__init__(history_manager=CachedHistoryManager, **options)

    def post_delete(self, instance: Any, using: str | None = None, **options: Any) -> None:
        if not _is_written.get():
            super().post_delete(instance, using=using, **options)


@contextmanager
def written_already() -> Iterator[None]:
    """Around the deletion of rows whose last version was written for all of them at once."""
    token = _is_written.set(True)
    try:
        yield
    finally:
        _is_written.reset(token)
