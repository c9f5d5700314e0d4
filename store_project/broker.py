"""Asking the broker itself something, on a connection of its own, for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import current_app
from kombu.exceptions import KombuError

CONNECT_SECONDS = 1.0


class BrokerAwayError(Exception):
    """Says why."""


@contextmanager
def asked() -> Iterator[Any]:
    """A kombu connection; what its broker does not answer raises BrokerAwayError."""
    broker: Any = current_app.connection_for_read(connect_timeout=CONNECT_SECONDS)
    with broker:
        try:
            broker.ensure_connection(max_retries=1, interval_start=0)
            yield broker
        except (KombuError, OSError, *broker.connection_errors) as error:
            raise BrokerAwayError(str(error)) from error


def require_answer() -> None:
    with asked() as broker:
        broker.channel().close()  # Redis is spoken to only here


def waiting(queue: str) -> int:
    """Messages that nobody has taken."""
    with asked() as broker:
        try:
            declared = broker.channel().queue_declare(queue, passive=True)
        except broker.channel_errors:
            return 0  # Redis knows no empty queues
        return int(declared.message_count)
