"""Whether this process can do its work, part by part: what `/readyz`, the metrics and `doctor` tell."""

from __future__ import annotations

import functools
import shutil
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from entities.models import Tally
from intelligence import hints, mqtt_clock
from store_project import broker
from store_project.broker import BrokerAwayError
from store_project.config import ConfigError, MInsightConfig, load
from store_project.probes import Finding, Probe, ask_all, unwell, well
from vectors import VectorsInUseError, VectorStoreError, require_answer

DEADLINE_SECONDS = 1.8
SWEEP = "intelligence.tasks.sweep_images"
SWEEP_OVERDUE_SECONDS = 300.0
"""It is due once a minute."""
MQTT_SECONDS = 1.0
NEEDED = frozenset({"database", "migrations"})
"""Without these nothing is answered. Without the others media are stored and shown, and the rest follows."""


@dataclass(frozen=True)
class Readiness:
    parts: dict[str, Finding]

    @property
    def is_ready(self) -> bool:
        return all(self.parts[name].is_well for name in NEEDED)

    @property
    def word(self) -> str:
        if not self.is_ready:
            return "not ready"
        return "ready" if all(found.is_well for found in self.parts.values()) else "degraded"


def look(*, seconds: float = DEADLINE_SECONDS) -> Readiness:
    return Readiness(ask_all(PROBES, seconds=seconds))


def look_at_database() -> Finding:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return unwell("away", str(error))
    return well(detail=connection.vendor)


def look_at_migrations() -> Finding:
    try:
        applied = MigrationRecorder(connection).applied_migrations()
    except DatabaseError as error:
        return unwell("unknown", str(error))
    if missing := sorted(_known_migrations() - applied.keys()):
        return unwell("behind", f"{len(missing)} are not applied, first {'.'.join(missing[0])}.")
    return well()


def look_at_broker() -> Finding:
    if settings.EMBEDDED_BROKER:
        return well("embedded")
    try:
        broker.require_answer()
    except BrokerAwayError as error:
        return unwell("away", str(error))
    return well()


def look_at_vectors() -> Finding:
    """Embedded ones are opened by the process that works with them, and by no other because of a question."""
    if not (settings.VECTORS.url or hints.worker_in_this_process.is_set()):
        return well("embedded")
    try:
        require_answer()
    except VectorsInUseError as error:
        return unwell("in use", str(error))
    except VectorStoreError as error:
        return unwell("away", str(error))
    return well("ok" if settings.VECTORS.url else "embedded")


def look_at_disk() -> Finding:
    try:
        free = shutil.disk_usage(existing(settings.MEDIA_ROOT)).free
    except OSError as error:
        return unwell("away", str(error))
    if free < settings.MIN_FREE_BYTES:
        return unwell("low", f"{free} bytes are free, fewer than MIN_FREE_BYTES ({settings.MIN_FREE_BYTES}).")
    return well(detail=f"{free} bytes are free")


def look_at_sweep() -> Finding:
    try:
        row = Tally.objects.filter(kind="sweep", subject=SWEEP).first()
    except DatabaseError as error:
        return unwell("unknown", str(error))
    if row is None:
        return unwell("never", "No worker has looked for images without their results yet.")
    age = _seconds_since(row.updated_at)
    if age > SWEEP_OVERDUE_SECONDS:
        return unwell("overdue", f"Last run {row.updated_at:%F %T} UTC.", age_seconds=age)
    return well(age_seconds=age)


def look_at_mqtt() -> Finding:
    """Whether somebody is there, and then whether those who need it are connected, as they note down."""
    if not settings.MQTT_BROKER:
        return well("off")
    address = (settings.MQTT_BROKER, settings.MQTT_PORT)
    try:
        socket.create_connection(address, timeout=MQTT_SECONDS).close()
    except OSError as error:
        return unwell("away", f"Nobody answers at {address[0]}:{address[1]}: {error}")
    try:
        return _of_connections(mqtt_clock.last_noted())
    except (ConfigError, DatabaseError) as error:
        return unwell("unknown", str(error))


def _of_connections(noted: dict[str, datetime]) -> Finding:
    needed = [mqtt_clock.ANNOUNCER]
    if load(MInsightConfig).compute_service_url:
        needed.append(mqtt_clock.LISTENER)
    if missing := [name for name in needed if name not in noted]:
        return unwell("never", f"Has not been connected yet: {', '.join(missing)}.")
    first = min(needed, key=lambda name: noted[name])
    age = _seconds_since(noted[first])
    if age > mqtt_clock.SILENT_SECONDS:
        return unwell("silent", f"The {first} was connected last {noted[first]:%F %T} UTC.", age_seconds=age)
    return well(detail=f"connected: {', '.join(needed)}", age_seconds=age)


def _seconds_since(moment: datetime) -> float:
    return max(0.0, (timezone.now() - moment).total_seconds())


@functools.cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    """Of this release. A database that knows more serves a newer one beside it."""
    return frozenset(MigrationLoader(None).disk_migrations)


def existing(folder: Path) -> Path:
    return folder if folder.exists() else existing(folder.parent)


PROBES = {
    name: Probe(name, look)
    for name, look in {
        "database": look_at_database,
        "migrations": look_at_migrations,
        "broker": look_at_broker,
        "vectors": look_at_vectors,
        "disk": look_at_disk,
        "sweep": look_at_sweep,
        "mqtt": look_at_mqtt,
    }.items()
}
