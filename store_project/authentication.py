"""Who makes a request: the bearer of a signed token, a Django user with a session, or nobody."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from store_project import keys, tokens
from store_project.access import Access, access_to

READ, WRITE, INFERENCE = "media_store_read", "media_store_write", "ai_inference_support"


@dataclass(frozen=True)
class Principal:
    """What the store needs to know of a caller."""

    store_id: str | None
    permissions: frozenset[str] = frozenset()
    is_admin: bool = False
    is_authenticated: bool = True
    name: str = ""
    """For the browser's page; a token does not tell it."""

    @property
    def is_active(self) -> bool:
        return self.is_authenticated

    def may(self, permission: str) -> bool:
        return self.is_admin or permission in self.permissions

    def __str__(self) -> str:
        return self.name or self.store_id or "everybody"


class Anonymous(Principal):
    def __init__(self) -> None:
        super().__init__(store_id=None, is_authenticated=False)


EVERYONE = Principal(store_id=None, is_admin=True)
"""Every caller, where authentication is switched off."""


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <ES256 token>`. Another scheme is no token; a broken token fails always."""

    def authenticate(self, request: Request) -> tuple[Principal, tokens.Claims | None] | None:
        if _is_public(request):
            return None
        if settings.AUTH_DISABLED:
            return EVERYONE, None
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        claims = _claims(token.strip())
        return Principal(claims.id, claims.permissions, claims.is_admin), claims

    def authenticate_header(self, _request: Request) -> str:
        return "Bearer"


class BrowserSessionAuthentication(SessionAuthentication):
    """A Django user who has logged in with a browser; the CSRF token is checked."""

    def authenticate(self, request: Request) -> tuple[Principal, None] | None:
        answer = None if _is_public(request) else super().authenticate(request)
        return None if answer is None else (principal_of(answer[0]), None)


def principal_of(user: AbstractUser) -> Principal:
    """A Django user with what the database grants now, directly and through groups."""
    names = user.get_all_permissions()
    held = frozenset(name for name in (READ, WRITE, INFERENCE) if f"entities.{name}" in names)
    return Principal(str(user.pk), held, is_admin=user.is_superuser, name=user.get_username())


def caller(request: Request) -> Principal:
    """Whoever the authentication found; Django's own types know only its users."""
    return cast("Principal", request.user)


def _is_public(request: Request) -> bool:
    return access_to(request.parser_context["view"], request) is Access.PUBLIC


def _claims(token: str) -> tokens.Claims:
    key = keys.read_public_key(settings.PUBLIC_KEY_FILE)
    if key is None:
        raise AuthenticationFailed("Tokens are not accepted here: no public key is installed.")
    try:
        return tokens.read(token, key)
    except tokens.TokenError as error:
        raise AuthenticationFailed(str(error)) from error
