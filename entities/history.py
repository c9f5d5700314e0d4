"""Who made a change: history keeps the principal's id as text, since principals may live outside Django."""

from __future__ import annotations

from typing import Any


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
