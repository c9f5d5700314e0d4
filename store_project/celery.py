"""The Celery app: its queues and its whole beat schedule."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import (
    beat_init,
    task_prerun,
    task_success,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
)
from django.conf import settings
from django.db import close_old_connections
from kombu import Queue

logger = logging.getLogger(__name__)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "store_project.settings")

QUEUES = ("reconcile", "submit", "inference", "callbacks", "recognition", "queries")

NIGHTLY = crontab(hour="3", minute="30")

# Every event has a sweep here: the event makes it fast, the sweep makes it true.
BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "read history that no event announced": {"task": "intelligence.tasks.reconcile", "schedule": 5.0},
    "hand out pending work": {"task": "intelligence.tasks.dispatch", "schedule": 5.0},
    "ask again for jobs that fell silent": {"task": "intelligence.tasks.sweep_jobs", "schedule": 30.0},
    "ask the compute service about its jobs": {"task": "intelligence.tasks.poll_jobs", "schedule": 5.0},
    "look for images without their results": {"task": "intelligence.tasks.sweep_images", "schedule": 60.0},
    "follow what has changed": {"task": "intelligence.tasks.upkeep", "schedule": 15.0},
    "look at faces that nobody was given to": {"task": "intelligence.tasks.recognise", "schedule": 15.0},
    "settle who is who, where something has changed": {
        "task": "intelligence.tasks.recluster",
        "schedule": NIGHTLY,
    },
    "compare images with their vectors": {"task": "intelligence.tasks.sweep_upkeep", "schedule": 60.0},
    "look for vectors that were lost": {"task": "intelligence.tasks.sweep_vectors", "schedule": 60.0},
    "tell what the models can do": {"task": "intelligence.tasks.tell_capabilities", "schedule": 60.0},
    "switch to models that are filled": {"task": "intelligence.tasks.switch_models", "schedule": 30.0},
    "forget who has failed to log in": {"task": "store_project.tasks.forget_logins", "schedule": 3600.0},
    "forget what was searched for": {"task": "intelligence.tasks.forget_encodings", "schedule": 3600.0},
    "look into the vectors for commands": {"task": "intelligence.tasks.run_errands", "schedule": 2.0},
    "take back statuses that ended a minute ago": {
        "task": "intelligence.tasks.clear_statuses",
        "schedule": 5.0,
    },
    "remove files that nobody took away": {"task": "entities.tasks.sweep_files", "schedule": 600.0},
    "go on with large removals": {"task": "entities.tasks.carry_on_removals", "schedule": 5.0},
    "remove what lay in the trash for long": {"task": "entities.tasks.purge_trash", "schedule": NIGHTLY},
    "empty the quarantine": {"task": "entities.tasks.purge_quarantine", "schedule": NIGHTLY},
    "clear the spool of forgotten jobs": {"task": "intelligence.tasks.purge_spool", "schedule": 600.0},
}


EXPIRES_SECONDS = 600
"""What is asked for every few seconds would pile up while no worker lives. Long enough for unequal clocks."""

for entry in BEAT_SCHEDULE.values():
    entry["options"] = {} if isinstance(entry["schedule"], crontab) else {"expires": EXPIRES_SECONDS}

TASKS_PER_CONNECTION = 10_000


def make_app(name: str, queues: Iterable[str] = QUEUES, **options: Any) -> Celery:
    """An app of its own for each worker of one process: an app remembers one choice of queues."""
    made = Celery(name, **options)
    made.config_from_object("django.conf:settings", namespace="CELERY")
    made.autodiscover_tasks()
    made.conf.task_queues = [Queue(queue) for queue in queues]
    made.conf.task_create_missing_queues = False
    made.conf.beat_schedule = BEAT_SCHEDULE
    made.conf["CELERY_DB_REUSE_MAX"] = TASKS_PER_CONNECTION
    return made


@task_prerun.connect
def _drop_broken_connections(**_task: Any) -> None:
    """As Django does before each request; Celery by itself would connect anew for each task."""
    close_old_connections()


@task_success.connect
def _note_sweep(sender: Any, result: Any, **_task: Any) -> None:
    """When each sweep has last ended, and how much it has found to mend."""
    if sender.name.rpartition(".")[2].startswith("sweep_"):
        from entities import tallies  # noqa: PLC0415  (models must be loaded first)

        tallies.add_now("sweep", sender.name, amount=float(result or 0))


class _WorkerProcess:
    flusher: Any = None


@worker_process_init.connect
@worker_ready.connect
def _count(**_signal: Any) -> None:
    """Of a `celery worker`: each process writes down what it counts itself."""
    from entities import tallies  # noqa: PLC0415

    tallies.forget()
    _WorkerProcess.flusher = tallies.Flusher()
    _WorkerProcess.flusher.start()


@worker_process_shutdown.connect
@worker_shutdown.connect
def _stop_counting(**_signal: Any) -> None:
    if _WorkerProcess.flusher is not None:
        _WorkerProcess.flusher.stop()
        _WorkerProcess.flusher = None


@worker_ready.connect
@beat_init.connect
def _say_hello(sender: Any, **_signal: Any) -> None:
    logger.info("Store %s: %s is ready.", settings.VERSION, getattr(sender, "hostname", "beat"))
    if os.geteuid() == 0:
        logger.warning("This process runs as root; give it a user of its own.")


app = make_app("store")
