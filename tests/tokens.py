"""An outside service that gives out tokens, and clients that bear them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from rest_framework.test import APIClient

from store_project.keys import public_pem


def bearer(token: str) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def nobody() -> APIClient:
    return APIClient(raise_request_exception=False)


@dataclass(frozen=True)
class TokenService:
    """Has the private key; the store is given the public one."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def install(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(public_pem(self.key.public_key()))

    def token(self, *permissions: str, **claims: Any) -> str:
        """A claim that is None is left out."""
        usual = {"id": "7", "permissions": list(permissions), "is_admin": False, "exp": time.time() + 600}
        payload = {name: value for name, value in {**usual, **claims}.items() if value is not None}
        return jwt.encode(payload, self.key, algorithm="ES256")
