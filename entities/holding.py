"""While somebody copies the files that rows have named a moment ago, none of them is taken away.

What was to go stays noted down, and goes with the next sweep. A holder that dies is forgotten after a while.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from entities.models import ServiceConfig

KEY = "files_held"
FORGOTTEN_AFTER = timedelta(minutes=10)
BEAT_SECONDS = 60.0


def is_held() -> bool:
    recent = timezone.now() - FORGOTTEN_AFTER
    return ServiceConfig.objects.filter(key=KEY, updated_at__gt=recent).exists()


@contextmanager
def all_files_held() -> Iterator[None]:
    """From its first line on: whoever asks after its commit is told."""
    _beat()
    over = threading.Event()
    beating = threading.Thread(target=_keep_beating, args=[over], daemon=True)
    beating.start()
    try:
        yield
    finally:
        over.set()
        beating.join()
        ServiceConfig.objects.filter(key=KEY).delete()


def _keep_beating(over: threading.Event) -> None:
    while not over.wait(BEAT_SECONDS):
        _beat()
    connection.close()


def _beat() -> None:
    ServiceConfig.objects.update_or_create(key=KEY, defaults={"value": True})
