"""What happened to which entities, for whoever follows one through the logs; and what asked for it.

A request has an id, which goes with the tasks that it asks for, and with those that they ask for. But several
requests may be served by one task, and a sweep by none: so every line also names the entities themselves.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

from django.db import transaction

logger = logging.getLogger(__name__)

_context: ContextVar[Mapping[str, str]] = ContextVar("trail", default={})  # noqa: B039  (never changed in place)


def context() -> Mapping[str, str]:
    """What every line of the log carries, of the request or the task that runs."""
    return _context.get()


@contextmanager
def within(**names: str) -> Iterator[None]:
    token = _context.set({name: value for name, value in names.items() if value})
    try:
        yield
    finally:
        _context.reset(token)


def enter(**names: str) -> None:
    """As `within`, where the end comes by a call of its own: `leave`."""
    _context.set({name: value for name, value in names.items() if value})


def leave() -> None:
    _context.set({})


def note(stage: str, entity_ids: Collection[int]) -> None:
    """After the commit, if it comes."""
    if entity_ids and logger.isEnabledFor(logging.INFO):
        transaction.on_commit(partial(_write, stage, sorted(set(entity_ids))), robust=True)


def _write(stage: str, entity_ids: list[int]) -> None:
    logger.info("%s", stage, extra={"stage": stage, "entity_ids": entity_ids})
