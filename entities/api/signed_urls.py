"""Links to media that carry their own permission, for a time: players and image views send no tokens."""

from __future__ import annotations

import hmac
import re
import time
from functools import lru_cache

from django.conf import settings
from django.http import QueryDict
from django.utils.crypto import salted_hmac

_SECONDS = re.compile(r"[0-9]{1,12}")
LIFETIME_SECONDS = 24 * 3600
"""A link is valid for at least this long, at most twice; its text stays the same within a day, for caches."""


def signed_query(entity_id: int) -> str:
    expires = (int(time.time()) // LIFETIME_SECONDS + 2) * LIFETIME_SECONDS
    return f"expires={expires}&signature={_signature(entity_id, expires)}"


def is_signed(entity_id: int, query: QueryDict) -> bool:
    expires = query.get("expires", "")
    if not _SECONDS.fullmatch(expires) or int(expires) < time.time():
        return False
    given = query.get("signature", "").encode()
    return hmac.compare_digest(_signature(entity_id, int(expires)).encode(), given)


def _signature(entity_id: int, expires: int) -> str:
    return hmac.digest(_key(settings.SECRET_KEY), f"{entity_id}:{expires}".encode(), "sha256").hex()[:32]


@lru_cache(maxsize=2)
def _key(secret: str) -> bytes:
    return salted_hmac("entities.signed_urls", "", secret=secret, algorithm="sha256").digest()
