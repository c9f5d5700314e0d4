"""Tokens: ES256, short-lived, their claims checked strictly."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from jwt.types import Options

ALGORITHM = "ES256"
LIFETIME_SECONDS = 30 * 60
MAX_ID_LENGTH = 255
"""As long as the columns that keep who made a change."""
CHECKS = Options(
    require=["exp"], verify_aud=False, verify_iat=False, verify_iss=False, verify_jti=False, verify_sub=False
)
"""Signature, `exp` and `nbf`; other claims that a service may add say nothing to the store."""


class TokenError(Exception):
    """A token that proves nothing; the message is for its bearer."""


@dataclass(frozen=True)
class Claims:
    """What a token says of its bearer."""

    id: str
    permissions: frozenset[str] = frozenset()
    is_admin: bool = False
    login: str | None = None
    """Only in the store's own tokens: the login they come from, which ends when the password changes."""


def issue(claims: Claims, key: EllipticCurvePrivateKey) -> str:
    payload = {
        "id": claims.id,
        "permissions": sorted(claims.permissions),
        "is_admin": claims.is_admin,
        "login": claims.login,
        "exp": int(time.time()) + LIFETIME_SECONDS,
    }
    return jwt.encode(payload, key, algorithm=ALGORITHM)


def read(token: str, key: EllipticCurvePublicKey) -> Claims:
    """Raises TokenError."""
    try:
        payload = jwt.decode(token, key, [ALGORITHM], options=CHECKS)
    except jwt.ExpiredSignatureError as error:
        raise TokenError("The token has expired; log in again.") from error
    except jwt.MissingRequiredClaimError as error:
        raise TokenError("JWT payload is invalid") from error
    except jwt.InvalidTokenError as error:
        raise TokenError("Could not validate credentials") from error
    return _checked(payload)


def _checked(payload: dict[str, Any]) -> Claims:
    permissions, is_admin = payload.get("permissions", []), payload.get("is_admin", False)
    login = payload.get("login")
    listed = isinstance(permissions, list) and all(isinstance(name, str) for name in permissions)
    timed = type(payload["exp"]) in {int, float}
    if not (_is_id(payload.get("id")) and listed and isinstance(is_admin, bool) and timed):
        raise TokenError("JWT payload is invalid")
    return Claims(payload["id"], frozenset(permissions), is_admin, login if isinstance(login, str) else None)


def _is_id(value: Any) -> bool:
    """Text that the database can keep."""
    return isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH and "\0" not in value
