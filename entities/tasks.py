"""Tasks are thin: what they call can be called without them."""

from __future__ import annotations

from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from entities import disposal, quarantine, services
from entities.storage import EntityStorageService


@shared_task
def sweep_files(*_later: object) -> int:
    """What a process left that died before it had taken its files away."""
    storage = EntityStorageService.from_settings()
    disposal.dispose(storage)
    return storage.remove_abandoned()


@shared_task
def purge_quarantine(*_later: object) -> None:
    quarantine.purge(EntityStorageService.from_settings().media_root, today=timezone.now().date())


REMOVAL_SECONDS = 3.0
"""Less than until beat asks for it again: no two workers are at it for long."""


@shared_task
def carry_on_removals(*_later: object) -> int:
    """What was removed with very much below it goes slice by slice."""
    return services.carry_on(EntityStorageService.from_settings(), seconds=REMOVAL_SECONDS)


@shared_task
def purge_trash(*_later: object) -> int:
    """Nothing where TRASH_RETENTION_DAYS is 0."""
    if not settings.TRASH_RETENTION_DAYS:
        return 0
    before = timezone.now() - timedelta(days=settings.TRASH_RETENTION_DAYS)
    return len(list(services.purge_trash(EntityStorageService.from_settings(), before=before)))
