"""By when whoever asks compute wants to be through. Others who use the same client are not hurried by it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ends_at: ContextVar[float] = ContextVar("ends_at", default=math.inf)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """All requests inside of it together; one that is nested never gets more than those around it."""
    before = _ends_at.set(min(_ends_at.get(), time.monotonic() + seconds))
    try:
        yield
    finally:
        _ends_at.reset(before)


def seconds_left() -> float:
    """Without end where nobody is in a hurry."""
    return _ends_at.get() - time.monotonic()
