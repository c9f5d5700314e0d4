"""What is wrong with an installation, and what to do about it: each line of `manage.py doctor`."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from django.conf import settings
from django.core import checks
from django.db import DatabaseError, connection
from django.utils import timezone

from entities.models import ServiceConfig, Tally
from intelligence import capabilities, hints, worker_status
from intelligence.models import EntityJob, ImageIntelligence, ModelVersion, TaskPause
from intelligence.vocabulary import JobStatus, ProcessingStatus
from intelligence.worker_status import Word
from store_project import readiness
from store_project.backup import making
from store_project.config import ConfigError, MInsightConfig, load
from store_project.keys import PRIVATE_KEY_NAME
from store_project.worker_lock import WorkerLock
from vectors import holder_of_folder

CLOCKS_APART_SECONDS = 5.0
WAITING_LONG = timedelta(minutes=15)
BACKUP_OLD = timedelta(days=7)
BACKUP_REMEDY = "Run `manage.py backup DEST` by a timer, each night; DEST on another disk."
PATIENCE_SECONDS = 15.0
FAILED_COUNTED = 10_000


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True)
class Advice:
    subject: str
    level: Level
    text: str
    remedy: str = ""


Examination = Callable[[], Iterator[Advice]]

REMEDIES = {
    "database": "Start it, or correct DATABASE_URL.",
    "migrations": "Run `manage.py migrate`.",
    "broker": "Start it, or correct CELERY_BROKER_URL. Until then uploads are kept and looked at later.",
    "vectors": "Start the Qdrant server, or correct QDRANT_URL and QDRANT_API_KEY; embedded vectors serve "
    "one process: stop the other one. Vectors that are lost are made again: `manage.py vectors rebuild`.",
    "disk": "Free some space, or move the media to a larger disk (MEDIA_STORAGE_DIR).",
    "sweep": "See whether a worker and beat run: `manage.py serve`, or `celery worker` and `celery beat`.",
    "mqtt": "Start the broker, or correct MQTT_BROKER, MQTT_PORT and the login. The announcer is a worker, "
    "the listener `manage.py compute_listener`. Only its messages are missed meanwhile.",
}
OVERDUE_IS_NO_ERROR = {"never"}
"""Of an installation that has not been started yet."""
NO_ERROR = {"mqtt"}
"""Without these the store does all its work."""


def examine() -> Iterator[Advice]:
    """One after another, so that a person sees how far it is; never raises what an installation can cause."""
    yield from _settings()
    found = readiness.look(seconds=PATIENCE_SECONDS)
    yield from _parts(found)
    yield from _folders()
    yield from _processes()
    if found.parts["database"].is_well and found.parts["migrations"].is_well:
        for examination in (_clock, _workers, _models, _queue, _pauses, _failed_jobs, _backup):
            try:
                yield from examination()
            except DatabaseError as error:
                yield Advice("database", Level.WRONG, str(error), REMEDIES["database"])


def _settings() -> Iterator[Advice]:
    wrong = False
    try:
        load(MInsightConfig)
    except ConfigError as error:
        wrong = True
        yield Advice("settings", Level.WRONG, str(error), "Correct the variables named, here or in `.env`.")
    for message in checks.run_checks():
        wrong = True
        level = Level.WRONG if message.is_serious() else Level.WARNING
        yield Advice("settings", level, message.msg, message.hint or "")
    if os.geteuid() == 0:
        wrong = True
        yield Advice("settings", Level.WARNING, "This runs as root.", "Give the store a user of its own.")
    if settings.AUTH_DISABLED:
        wrong = True
        yield Advice("settings", Level.WARNING, "Everybody may do everything.", "Unset AUTH_DISABLED.")
    if not wrong:
        yield Advice("settings", Level.OK, f"release {settings.VERSION}")


def _parts(found: readiness.Readiness) -> Iterator[Advice]:
    for name, part in found.parts.items():
        text = ": ".join(filter(None, (part.word, part.detail)))
        if part.is_well:
            yield Advice(name, Level.OK, text)
        elif part.word != "unknown":  # that follows from the database, which is told
            is_no_error = part.word in OVERDUE_IS_NO_ERROR or name in NO_ERROR
            level = Level.WARNING if is_no_error else Level.WRONG
            yield Advice(name, level, text, REMEDIES[name])


def _folders() -> Iterator[Advice]:
    wrong = False
    for folder in (settings.CONFIG.cl_server_dir, settings.MEDIA_ROOT):
        if folder.exists() and not _is_writable(folder):
            wrong = True
            yield Advice("folders", Level.WRONG, f"{folder} cannot be written to.", f"chown it: {_me()}")
    for key in _key_files():
        if key.exists() and key.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            wrong = True
            yield Advice("key files", Level.WRONG, f"Others may read {key}.", f"Run `chmod 600 {key}`.")
    if not wrong:
        folder = settings.CONFIG.cl_server_dir
        yield Advice("folders", Level.OK, f"{folder} can be written to, keys are ours alone")


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


def _me() -> str:
    return f"this process is user {os.geteuid()}"


def _key_files() -> list[Path]:
    keys = settings.CONFIG.cl_server_dir / "keys"
    return [keys / "secret_key", settings.PUBLIC_KEY_FILE.with_name(PRIVATE_KEY_NAME)]


def _processes() -> Iterator[Advice]:
    """One has workers inside, and the same one has embedded vectors open."""
    serving = WorkerLock(settings.CONFIG.cl_server_dir).holder()
    embedded = None if settings.VECTORS.url else holder_of_folder(settings.VECTORS.path)
    if serving and not settings.EMBEDDED_BROKER:
        yield Advice(
            "processes",
            Level.WRONG,
            f"Process {serving} was started as the whole store, and the settings name a broker.",
            "Start it again: it still works without that broker, beside the workers that use it.",
        )
    elif serving and embedded and embedded != serving:
        yield Advice(
            "processes",
            Level.WRONG,
            f"Process {embedded} has the embedded vectors open, and `serve`, which needs them, is {serving}.",
            f"Stop process {embedded}, or run a Qdrant server and set QDRANT_URL.",
        )
    else:
        named = {"workers": serving, "embedded vectors": embedded}
        held = [f"{what}: process {process}" for what, process in named.items() if process]
        yield Advice("processes", Level.OK, ", ".join(held) or "none works on this folder alone")


def _clock() -> Iterator[Advice]:
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        theirs: datetime = cursor.fetchone()[0]
    apart = abs((timezone.now() - theirs).total_seconds())
    if apart > CLOCKS_APART_SECONDS:
        yield Advice(
            "clock",
            Level.WRONG,
            f"The database's clock and this one are {apart:.0f} s apart: leases and sweeps go by them.",
            "Keep both by NTP.",
        )
    else:
        yield Advice("clock", Level.OK, f"{apart:.1f} s from the database's")


def _workers() -> Iterator[Advice]:
    status = worker_status.read()
    names = ", ".join(hints.workers())
    if status.status in {Word.RUNNING, Word.IDLE}:
        yield Advice("workers", Level.OK, f"{status.status}; {names}" if names else status.status)
        return
    text = (
        "None has been heard of yet."
        if status.status is Word.UNKNOWN
        else (f"Last heard {status.timestamp:%F %T} UTC.")
    )
    level = Level.WARNING if status.status is Word.UNKNOWN else Level.WRONG
    yield Advice("workers", level, text, "Start one: `manage.py serve`, or `celery -A store_project worker`.")


def _models() -> Iterator[Advice]:
    current = ModelVersion.objects.filter(state=ModelVersion.State.CURRENT).order_by("task_type")
    named = ", ".join(f"{each.task_type}: {each.model}" for each in current)
    if named:
        yield Advice("models", Level.OK, named)
    elif not ServiceConfig.objects.filter(key=capabilities.KEY).exists():
        yield Advice("models", Level.WARNING, "No worker has told which models it has.", "Start a worker.")


def _queue() -> Iterator[Advice]:
    """What nobody has begun with; what is paused is told by itself."""
    waiting = ImageIntelligence.objects.filter(processing_status=ProcessingStatus.PENDING)
    oldest = waiting.order_by("updated_at").values_list("updated_at", flat=True).first()
    if oldest is None:
        yield Advice("queue", Level.OK, "nothing waits")
    elif (age := timezone.now() - oldest) > WAITING_LONG:
        yield Advice(
            "queue",
            Level.WARNING,
            f"An image has waited for {age}.",
            "See `manage.py intelligence status`; more workers for the queue `inference` help.",
        )
    else:
        yield Advice("queue", Level.OK, f"the oldest image has waited for {age.total_seconds():.0f} s")


def _pauses() -> Iterator[Advice]:
    for pause in TaskPause.objects.order_by("task_type"):
        who = f" by {pause.paused_by}" if pause.paused_by else ""
        yield Advice(
            "pauses",
            Level.WARNING,
            f"{pause.task_type} is paused since {pause.paused_at:%F %T} UTC{who}.",
            f"`manage.py intelligence resume {pause.task_type}` goes on.",
        )


def _backup() -> Iterator[Advice]:
    last = Tally.objects.filter(kind=making.KIND).values_list("updated_at", flat=True).first()
    if last is None:
        yield Advice("backup", Level.WARNING, "None has been made yet.", BACKUP_REMEDY)
        return
    age = timezone.now() - last
    text = f"The last one ended {last:%F %T} UTC, {age.total_seconds() / 3600:.1f} hours ago."
    if age > BACKUP_OLD:
        yield Advice("backup", Level.WARNING, text, BACKUP_REMEDY)
    else:
        yield Advice("backup", Level.OK, text)


def _failed_jobs() -> Iterator[Advice]:
    number = EntityJob.objects.filter(status=JobStatus.FAILED)[:FAILED_COUNTED].count()
    if number:
        yield Advice(
            "failed jobs",
            Level.WARNING,
            f"{number}{' or more' if number == FAILED_COUNTED else ''} jobs have failed for good.",
            "The admin shows them by their reasons; `manage.py intelligence retry --failed` asks again.",
        )
    else:
        yield Advice("failed jobs", Level.OK, "none")
