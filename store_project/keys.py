"""The keys that sign and check tokens, and whose they are.

Where the store gives out tokens itself, a private key lies beside the public one. It is always there first,
and the public key is derived from it: so a public key alone is that of an outside service.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from store_project.create_once import create_once

PRIVATE_KEY_NAME = "private_key.pem"
CACHED_KEYS = 8

Key = TypeVar("Key", EllipticCurvePublicKey, EllipticCurvePrivateKey)


class OutsideKeyError(Exception):
    """The store checks tokens, but another service gives them out."""

    def __init__(self) -> None:
        super().__init__("Tokens come from another service; log in there.")


class UnusableKeyError(Exception):
    """A key file that is not what it should be; the message says what to do."""


def read_public_key(path: Path) -> EllipticCurvePublicKey | None:
    """None where none is installed. A file that changes is read again, so that no restart is needed."""
    return _read(path, _parse_public)


def signing_key(public: Path) -> EllipticCurvePrivateKey:
    """The store's own key, made if there is none at all; raises OutsideKeyError or UnusableKeyError."""
    ensure_key_pair(public)
    path = public.with_name(PRIVATE_KEY_NAME)
    private = _read(path, _parse_private)
    if private is None:
        raise OutsideKeyError
    if private.public_key() != read_public_key(public):
        raise UnusableKeyError(
            f"{path.name} does not belong to {public.name}: remove the one that is not wanted."
        )
    return private


def ensure_key_pair(public: Path) -> None:
    """Makes what is missing: both keys, or the public one where an earlier start got no further."""
    try:
        if public.exists():
            return
        path = public.with_name(PRIVATE_KEY_NAME)
        if not path.exists():
            create_once(path, _as_pem(generate_private_key(SECP256R1())), mode=0o600)
        private = _read(path, _parse_private)
        if private is not None:
            create_once(public, public_pem(private.public_key()), mode=0o644)
    except OSError as error:
        raise UnusableKeyError(f"The keys cannot be kept in {public.parent}: {error.strerror}.") from error


def public_pem(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _as_pem(key: EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _read(path: Path, parse: Callable[[bytes], Key]) -> Key | None:
    try:
        stat = path.stat()
        key: Key = _cached(path, parse, (stat.st_mtime_ns, stat.st_ino, stat.st_size))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnusableKeyError(f"{path.name} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKeyError(f"{path.name} is not a key for ES256 (PEM, P-256, no password).") from error
    return key


@lru_cache(maxsize=CACHED_KEYS)
def _cached(path: Path, parse: Callable[[bytes], Key], _version: tuple[int, ...]) -> Key:
    return parse(path.read_bytes())


def _parse_public(pem: bytes) -> EllipticCurvePublicKey:
    key = load_pem_public_key(pem)
    if not (isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)):
        raise TypeError
    return key


def _parse_private(pem: bytes) -> EllipticCurvePrivateKey:
    key = load_pem_private_key(pem, password=None)
    if not (isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)):
        raise TypeError
    return key
