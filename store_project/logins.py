"""How often a password may be tried: counted in the database, so that all processes count together.

Whoever logs in is counted before the password is looked at, and forgotten where it was right: guesses that
come at once are counted like those that come one by one. Holds for every way in: `/auth/token`, the admin and
the browsable API.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.exceptions import Throttled
from rest_framework.throttling import BaseThrottle

from entities.models import LoginAttempts

WINDOW = timedelta(minutes=15)
TRIES_OF_ONE_NAME = 10
"""From one address: somebody who has forgotten, not somebody who tries words of a list."""
TRIES_OF_AN_ADDRESS = 100


class TooManyLoginsError(Throttled):
    default_detail = "Too many logins have failed."


class CountedBackend(ModelBackend):
    """Raises TooManyLoginsError."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **more: Any,
    ) -> User | None:
        if request is None or username is None:  # not from outside
            return super().authenticate(request, username, password, **more)
        # None over a socket that is a file; it reads META only.
        address = BaseThrottle().get_ident(request) or ""  # type: ignore[arg-type]
        by_name, by_address = _key(address, username), _key(address)
        _count(by_address, TRIES_OF_AN_ADDRESS)
        _count(by_name, TRIES_OF_ONE_NAME)
        user = super().authenticate(request, username, password, **more)
        if user is not None:
            LoginAttempts.objects.filter(key=by_name).delete()
            LoginAttempts.objects.filter(key=by_address, number__gt=0).update(number=F("number") - 1)
        return user


def forget_old() -> None:
    LoginAttempts.objects.filter(since__lt=timezone.now() - WINDOW).delete()


def _key(*parts: str) -> str:
    """Says nothing of the name: people type passwords there too."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _count(key: str, most: int) -> None:
    now = timezone.now()
    LoginAttempts.objects.filter(key=key, since__lt=now - WINDOW).delete()
    LoginAttempts.objects.bulk_create([LoginAttempts(key=key, since=now)], ignore_conflicts=True)
    with transaction.atomic():
        LoginAttempts.objects.filter(key=key).update(number=F("number") + 1)
        row = LoginAttempts.objects.filter(key=key).first()
    if row is not None and row.number > most:
        raise TooManyLoginsError(wait=(row.since + WINDOW - now).total_seconds())
