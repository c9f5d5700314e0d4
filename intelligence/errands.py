"""Looking into vectors from a command.

Embedded vectors serve one process at a time: where the store has them open, the command leaves an errand in
the database, and a worker of the store does it and writes the answer down.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any

from django.utils import timezone

from intelligence import comparison
from intelligence.models import VectorErrand
from intelligence.processing import IntelligenceProcessingService, get_processing
from intelligence.vocabulary import TaskType
from vectors import VectorsInUseError, VectorStoreError

POLL_SECONDS = 0.2
UNTAKEN_SECONDS = 30.0
KEPT = timedelta(days=1)
"""What a command that was interrupted left behind."""

Arguments = Mapping[str, Any]

logger = logging.getLogger(__name__)


class ErrandError(Exception):
    """Nobody could look into the vectors; the message says why."""


def _check(processing: IntelligenceProcessingService, arguments: Arguments) -> list[dict[str, Any]]:
    tasks = frozenset(TaskType(name) for name in arguments["tasks"])
    return [asdict(each) for each in processing.audit.check(tasks, mend=arguments["mend"])]


def _compare(processing: IntelligenceProcessingService, arguments: Arguments) -> dict[str, Any]:
    chosen = {**arguments, "task": TaskType(arguments["task"])}
    return asdict(comparison.compare(processing.jobs.models, **chosen))


def _follow(processing: IntelligenceProcessingService, _arguments: Arguments) -> None:
    processing.audit.follow_changes()


KINDS: Mapping[str, Callable[[IntelligenceProcessingService, Arguments], Any]] = {
    "check": _check,
    "compare": _compare,
    "follow": _follow,
}


def ask(kind: str, *, wait_seconds: float = 600.0, **arguments: Any) -> Any:
    """The answer, as JSON has it. Raises ErrandError, also where no worker answers in time."""
    try:
        return KINDS[kind](get_processing(), arguments)
    except VectorsInUseError as error:
        return _leave(VectorErrand.objects.create(kind=kind, arguments=arguments), error, wait_seconds)
    except (VectorStoreError, comparison.ComparisonError) as error:
        raise ErrandError(str(error)) from error


def run_waiting() -> int:
    """What a worker that has the vectors open does; answers how many errands that were."""
    VectorErrand.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    waiting = VectorErrand.objects.filter(taken_at__isnull=True).order_by("pk")
    return sum(_run(errand) for errand in list(waiting))


def _run(errand: VectorErrand) -> bool:
    mine = VectorErrand.objects.filter(pk=errand.pk, taken_at__isnull=True)
    if not mine.update(taken_at=timezone.now()):
        return False
    ended: dict[str, Any] = {}
    try:
        ended["result"] = KINDS[errand.kind](get_processing(), errand.arguments)
    except Exception as error:  # whatever it is, the command waits to be told
        logger.exception("An errand of %s has failed", errand.kind)
        ended["error_message"] = str(error) or repr(error)
    VectorErrand.objects.filter(pk=errand.pk).update(**ended, ended_at=timezone.now())
    return True


def _leave(errand: VectorErrand, why: VectorsInUseError, wait_seconds: float) -> Any:
    began = time.monotonic()
    try:
        while errand.ended_at is None:
            waited = time.monotonic() - began
            if waited > (wait_seconds if errand.taken_at else min(wait_seconds, UNTAKEN_SECONDS)):
                raise ErrandError(f"{why} It was asked to look itself, but none of its workers answers.")
            time.sleep(POLL_SECONDS)
            errand.refresh_from_db()
        if errand.error_message:
            raise ErrandError(errand.error_message)
        return errand.result
    finally:
        errand.delete()
