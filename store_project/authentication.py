"""Who makes a request: the bearer of a signed token, a Django user with a session, or nobody."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import jwt
from django.conf import settings
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

READ, WRITE, INFERENCE = "media_store_read", "media_store_write", "ai_inference_support"
ALGORITHM = "ES256"


@dataclass(frozen=True)
class Principal:
    """What the store needs to know of a caller."""

    store_id: str | None
    permissions: frozenset[str] = frozenset()
    is_admin: bool = False
    is_authenticated: bool = True

    @property
    def is_active(self) -> bool:
        return self.is_authenticated

    def may(self, permission: str) -> bool:
        return self.is_admin or permission in self.permissions


class Anonymous(Principal):
    def __init__(self) -> None:
        super().__init__(store_id=None, is_authenticated=False)


EVERYONE = Principal(store_id=None, is_admin=True)
"""Every caller, where authentication is switched off."""


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <ES256 token>`. Another scheme is no token; a broken token fails always."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        if settings.AUTH_DISABLED:
            return EVERYONE, None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        return _principal(_claims(token.strip())), None

    def authenticate_header(self, _request: Request) -> str:
        return "Bearer"


class BrowserSessionAuthentication(SessionAuthentication):
    """A Django user who has logged in with a browser; the CSRF token is checked."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        answer = super().authenticate(request)
        if answer is None:
            return None
        user = answer[0]
        names = user.get_all_permissions()
        held = frozenset(name for name in (READ, WRITE, INFERENCE) if f"entities.{name}" in names)
        return Principal(str(user.pk), held, is_admin=user.is_superuser), None


def _claims(token: str) -> dict[str, Any]:
    try:
        return jwt.decode(token, _public_key(), algorithms=[ALGORITHM], options={"require": ["exp"]})
    except jwt.ExpiredSignatureError as error:
        raise AuthenticationFailed("The token has expired; log in again.") from error
    except jwt.InvalidTokenError as error:
        raise AuthenticationFailed("Could not validate credentials") from error


def _principal(claims: dict[str, Any]) -> Principal:
    store_id, permissions = claims.get("id"), claims.get("permissions", [])
    is_admin = claims.get("is_admin", False)
    listed = isinstance(permissions, list) and all(isinstance(name, str) for name in permissions)
    if not (isinstance(store_id, str) and listed and isinstance(is_admin, bool)):
        raise AuthenticationFailed("JWT payload is invalid")
    return Principal(store_id, frozenset(permissions), is_admin)


def _public_key() -> bytes:
    path: Path = settings.PUBLIC_KEY_FILE
    try:
        return _read_key(path, path.stat().st_mtime_ns)
    except FileNotFoundError as error:
        raise AuthenticationFailed("Tokens are not accepted here: no public key is installed.") from error


@lru_cache(maxsize=4)
def _read_key(path: Path, _modified_ns: int) -> bytes:
    """Read again when the file changes, so that a new key needs no restart."""
    return path.read_bytes()
