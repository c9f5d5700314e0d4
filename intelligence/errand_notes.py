"""For those who cannot do an errand themselves: it is noted down for a worker, and waited for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from intelligence import hints
from intelligence.models import VectorErrand

POLL_SECONDS = 0.2
UNTAKEN_SECONDS = 30.0


class ErrandError(Exception):
    """Nobody could do it; the message says why."""


def leave(
    kind: str,
    arguments: Mapping[str, Any],
    *,
    wait_seconds: float,
    untaken_seconds: float | None = None,
    why: str = "",
) -> Any:
    """What the worker answers, as JSON has it. Raises ErrandError."""
    errand = VectorErrand.objects.create(kind=kind, arguments=dict(arguments))
    hints.send("run_errands")
    began, untaken_seconds = time.monotonic(), untaken_seconds or UNTAKEN_SECONDS
    try:
        errand.refresh_from_db()
        while errand.ended_at is None:
            waited = time.monotonic() - began
            if waited > (wait_seconds if errand.taken_at else min(wait_seconds, untaken_seconds)):
                raise ErrandError(f"{why}The store was asked to do it, but none of its workers answers.")
            time.sleep(POLL_SECONDS)
            errand.refresh_from_db()
        if errand.error_message:
            raise ErrandError(errand.error_message)
        return errand.result
    finally:
        errand.delete()
