"""Looking into vectors from a command.

Embedded vectors serve one process at a time: where the store has them open, the command leaves an errand in
the database, and a worker of the store does it and writes the answer down.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

from django.utils import timezone

from intelligence import comparison, errand_notes, vector_copies
from intelligence.audit import errands as audit_errands
from intelligence.audit import whole
from intelligence.errand_notes import ErrandError
from intelligence.models import VectorErrand
from intelligence.processing import IntelligenceProcessingService, get_processing
from intelligence.recognition.recluster import ReclusterError
from intelligence.vocabulary import TaskType
from vectors import VectorsInUseError, VectorStoreError

KEPT = timedelta(days=1)
"""What a command that was interrupted left behind."""

Arguments = Mapping[str, Any]

logger = logging.getLogger(__name__)


def _check(processing: IntelligenceProcessingService, arguments: Arguments) -> list[dict[str, Any]]:
    tasks = frozenset(TaskType(name) for name in arguments["tasks"])
    return [asdict(each) for each in processing.audit.check(tasks, mend=arguments["mend"])]


def _compare(processing: IntelligenceProcessingService, arguments: Arguments) -> dict[str, Any]:
    chosen = {**arguments, "task": TaskType(arguments["task"])}
    return asdict(comparison.compare(processing.jobs.models, **chosen))


def _follow(processing: IntelligenceProcessingService, _arguments: Arguments) -> None:
    processing.audit.follow_changes()


def _audit(processing: IntelligenceProcessingService, _arguments: Arguments) -> dict[str, Any]:
    """All of it, in the one process that can see all of it."""
    return whole.report(partial(_do_here, processing))


def _clear_orphans(processing: IntelligenceProcessingService, _arguments: Arguments) -> dict[str, int]:
    return whole.clear_orphans(partial(_do_here, processing))


def _do_here(processing: IntelligenceProcessingService, kind: str, **arguments: Any) -> Any:
    return KINDS[kind](processing, arguments)


def _recluster(processing: IntelligenceProcessingService, arguments: Arguments) -> dict[str, Any]:
    return processing.recluster.run(dry_run=arguments["dry_run"]).as_json()


KINDS: Mapping[str, Callable[[IntelligenceProcessingService, Arguments], Any]] = {
    "check": _check,
    "compare": _compare,
    "follow": _follow,
    "audit": _audit,
    "clear orphans": _clear_orphans,
    "versions": audit_errands.versions,
    "look at vectors": audit_errands.look,
    "mend vectors": audit_errands.mend,
    "look at jobs": audit_errands.look_at_jobs,
    "mend jobs": audit_errands.mend_jobs,
    "reconcile": audit_errands.reconcile,
    "look at the spool": audit_errands.look_at_spool,
    "clear the spool": audit_errands.clear_spool,
    "recluster": _recluster,
    "write vectors": vector_copies.write,
}


def ask(kind: str, *, wait_seconds: float = 600.0, **arguments: Any) -> Any:
    """The answer, as JSON has it. Raises ErrandError, also where no worker answers in time."""
    try:
        return KINDS[kind](get_processing(), arguments)
    except VectorsInUseError as error:
        return errand_notes.leave(kind, arguments, wait_seconds=wait_seconds, why=f"{error} ")
    except (VectorStoreError, comparison.ComparisonError, ReclusterError) as error:
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
