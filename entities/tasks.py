"""Tasks are thin: what they call can be called without them."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from entities import disposal, quarantine
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
