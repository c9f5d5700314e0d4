"""What each view asks of its callers, declared by the view."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from django.conf import settings
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from entities.api.signed_urls import is_signed


class Access(StrEnum):
    """A view names its own as `access`, or as `access_of` for each of its actions."""

    STORE = "store"
    """The permission to read or to write, by method; reading is free in guest mode."""
    READ = "read"
    """The permission to read, whatever the method: what is sent is only a question."""
    MEDIA = "media"
    """As STORE, unless the link is signed for this entity, or the media are open to everybody."""
    PUBLIC = "public"
    """Nobody is asked who they are: not even a broken token is looked at."""
    USER = "user"
    """Whoever it is, if only somebody."""
    ADMIN = "admin"


MEDIA_ACTIONS = frozenset({"media", "preview", "stream"})
"""Actions that hand out an entity's bytes, whatever view they belong to."""

MAX_ID_DIGITS = 19


def access_to(view: Any, request: Request) -> Access:
    action = getattr(view, "action", None)
    usual = Access.MEDIA if action in MEDIA_ACTIONS else Access.STORE
    by_action: Mapping[str, str] = getattr(view, "access_of", {})
    access = Access(by_action.get(str(action), getattr(view, "access", usual)))
    if access is not Access.MEDIA:
        return access
    free = request.method in SAFE_METHODS and (settings.MEDIA_OPEN or _is_signed(view, request))
    return Access.PUBLIC if free else Access.STORE


def _is_signed(view: Any, request: Request) -> bool:
    named: str = view.kwargs.get("entity_id", "")
    if not named.isdecimal() or len(named) > MAX_ID_DIGITS:
        return False
    return is_signed(int(named), request.query_params)
