"""How often somebody may read who has not said who they are."""

from __future__ import annotations

import math
import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from store_project.access import Access, access_to
from store_project.authentication import caller

try:
    from redis.exceptions import RedisError
except ImportError:  # an extra; without it one process counts by itself

    class RedisError(Exception):  # type: ignore[no-redef]
        """Never raised."""


WINDOW_SECONDS = 60
UNCOUNTED_SECONDS = 10.0
"""No request waits for a cache that is away more often than this."""
READS = frozenset({Access.STORE, Access.READ})
"""A signed link is not counted: it was given to somebody who may. Nor is what everybody may know."""


class AnonymousReads(BaseThrottle):
    """So many in a minute from one address, counted where all web processes count (CACHES)."""

    _uncounted_until = 0.0

    def allow_request(self, request: Request, view: Any) -> bool:
        most = settings.ANONYMOUS_READS_PER_MINUTE
        if not most or caller(request).is_authenticated or access_to(view, request) not in READS:
            return True
        if time.monotonic() < self._uncounted_until:
            return True
        try:
            return self._count(request) <= most
        except RedisError:  # reading goes on; that the broker is away shows elsewhere
            AnonymousReads._uncounted_until = time.monotonic() + UNCOUNTED_SECONDS
            return True

    def _count(self, request: Request) -> int:
        minute = int(time.time()) // WINDOW_SECONDS
        key = f"anonymous:{self.get_ident(request)}:{minute}"
        cache.add(key, 0, 2 * WINDOW_SECONDS)
        return cache.incr(key)

    def wait(self) -> float:
        return float(math.ceil(WINDOW_SECONDS - time.time() % WINDOW_SECONDS))
