"""Counting what happens, in many processes, without making anybody wait.

Each process adds up in memory and writes the sums down every few seconds. What it had not written when it was
killed is not counted: these numbers are for looking at, nothing depends on them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import NamedTuple

from django.db import DatabaseError, connections, transaction
from django.db.models import F
from django.utils import timezone

from entities.models import Tally

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 10.0


class Key(NamedTuple):
    kind: str
    subject: str
    detail: str = ""


class Sum(NamedTuple):
    number: int = 0
    amount: float = 0.0


class Ledger:
    """Of one process. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[Key, Sum] = {}

    def add(self, key: Key, amount: float = 0.0, *, number: int = 1) -> None:
        with self._lock:
            before = self._sums.get(key, Sum())
            self._sums[key] = Sum(before.number + number, before.amount + amount)

    def flush(self) -> None:
        """Keeps the sums where they cannot be written; raises DatabaseError."""
        with self._lock:
            sums, self._sums = self._sums, {}
        if not sums:
            return
        try:
            _write(sums)
        except DatabaseError:
            for key, kept in sums.items():
                self.add(key, kept.amount, number=kept.number)
            raise


def _write(sums: Mapping[Key, Sum]) -> None:
    Tally.objects.bulk_create(
        [Tally(kind=key.kind, subject=key.subject, detail=key.detail) for key in sums], ignore_conflicts=True
    )
    with transaction.atomic():
        for key, added in sorted(sums.items()):  # in one order, or two processes could deadlock
            Tally.objects.filter(**key._asdict()).update(
                number=F("number") + added.number,
                amount=F("amount") + added.amount,
                updated_at=timezone.now(),
            )


_ledger = Ledger()


def add(kind: str, subject: str, detail: str = "", *, number: int = 1, amount: float = 0.0) -> None:
    _ledger.add(Key(kind, subject, detail), amount, number=number)


def add_now(kind: str, subject: str, *, amount: float = 0.0) -> None:
    """For what is looked at as a clock: when it was last counted."""
    _write({Key(kind, subject): Sum(1, amount)})


def flush() -> None:
    _ledger.flush()


def forget() -> None:
    """In a forked process: what was counted before is the parent's to write down."""
    global _ledger  # noqa: PLW0603  (the parent's lock may be held for ever)
    _ledger = Ledger()


class Flusher:
    """Writes down what this process counts, until it is stopped."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tallies", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(FLUSH_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(FLUSH_SECONDS):
            self._flush()
        self._flush()

    @staticmethod
    def _flush() -> None:
        try:
            flush()
        except DatabaseError as error:
            logger.warning("What was counted is written down later: %s", error)
        finally:
            connections.close_all()
