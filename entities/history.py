"""Who made a change: history keeps the principal's id as text, since principals may live outside Django."""

from __future__ import annotations

from typing import Any, Protocol


class Principal(Protocol):
    """Whoever a request is made by; `store_id` is None where nobody is known."""

    store_id: str | None


def current_user(*, instance: Any, request: Any = None, **_others: Any) -> str | None:
    """The writer that the row itself names, else the admin user of the request."""
    named: str | None = getattr(instance, "updated_by", None)
    if request is not None and request.user.is_authenticated:
        return str(request.user.pk)
    return named


def get_user(historical_row: Any) -> str | None:
    user: str | None = historical_row.history_user_id
    return user


def set_user(historical_row: Any, user: str | None) -> None:
    historical_row.history_user_id = user
