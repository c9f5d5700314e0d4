"""The token that the compute service asks for: fetched when needed, renewed in time, by one at a time."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import Protocol

import jwt

from intelligence.compute.base import ComputeUnavailableError

logger = logging.getLogger(__name__)

RENEW_BEFORE_SECONDS = 60.0
TRUSTED_FOR_SECONDS = 30.0
"""A new token is used for so long whatever its end seems to be: our clock may be ahead of the service's."""
PAUSE_AFTER_FAILURE_SECONDS = 30.0
"""A wrong password is not tried by every thread, again and again."""


class AuthService(Protocol):
    """Each answers a token, or raises ComputeUnavailableError."""

    def log_in(self) -> str: ...

    def refresh(self, token: str) -> str: ...


@dataclass(frozen=True)
class _Token:
    text: str
    renew_at: float  # on the monotonic clock


class Tokens:
    """Safe to use from several threads: those that find no token wait for the one that fetches it."""

    def __init__(self, service: AuthService) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._failure: tuple[float, str] | None = None

    def current(self) -> str:
        """Raises ComputeUnavailableError if none is to be had."""
        with self._lock:
            if self._token is None or time.monotonic() >= self._token.renew_at:
                self._token = self._renewed(self._token)
            return self._token.text

    def drop(self, refused: str) -> None:
        """The service takes this one no longer. Another, that somebody has fetched meanwhile, stays."""
        with self._lock:
            if self._token is not None and self._token.text == refused:
                self._token = None

    def _renewed(self, old: _Token | None) -> _Token:
        if old is not None:
            try:
                return _received(self._service.refresh(old.text))
            except ComputeUnavailableError as error:
                logger.info("The token could not be refreshed, logging in again: %s", error)
        return self._logged_in()

    def _logged_in(self) -> _Token:
        if self._failure is not None and time.monotonic() < self._failure[0]:
            raise ComputeUnavailableError(self._failure[1])
        try:
            token = _received(self._service.log_in())
        except ComputeUnavailableError as error:
            self._failure = (time.monotonic() + PAUSE_AFTER_FAILURE_SECONDS, str(error))
            raise
        self._failure = None
        return token


def _received(text: str) -> _Token:
    lifetime = _seconds_left(text)
    usable = max(TRUSTED_FOR_SECONDS, lifetime - RENEW_BEFORE_SECONDS)
    return _Token(text, time.monotonic() + usable)


def _seconds_left(text: str) -> float:
    """Of a token that says nothing of its end: without end; the service will refuse it in time."""
    try:
        claims = jwt.decode(text, options={"verify_signature": False, "verify_exp": False})
        return float(claims["exp"]) - time.time()
    except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
        return float("inf")
