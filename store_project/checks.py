"""Refuses to start where parts do not fit together."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning


@register()
def embedded_parts_in_one_process(**_options: Any) -> list[CheckMessage]:
    """A broker of its own means several processes; what is embedded serves one."""
    if settings.EMBEDDED_BROKER:
        return []
    found: list[CheckMessage] = []
    if not settings.VECTORS.url:
        found.append(
            Error(
                "The embedded vector engine serves one process, but CELERY_BROKER_URL means several.",
                hint="Set QDRANT_URL, or leave CELERY_BROKER_URL empty.",
                id="store.E001",
            )
        )
    if settings.DATABASES["default"]["ENGINE"] == "store_project.sqlite":
        found.append(
            CheckWarning(
                "Several processes write to one SQLite file; they will wait for each other.",
                hint="Set DATABASE_URL to a PostgreSQL server.",
                id="store.W001",
            )
        )
    return found


@register(deploy=True)
def somebody_has_to_log_in(**_options: Any) -> list[CheckMessage]:
    if not settings.AUTH_DISABLED:
        return []
    hint = "Leave it out: it is for trying things out alone."
    return [CheckWarning("AUTH_DISABLED lets everybody do everything.", hint=hint, id="store.W002")]
