"""From a change of an entity to the request that workers look at it: after the commit, or not at all."""

from __future__ import annotations

from django.db import transaction

from entities.signals import entity_removed, media_changed
from intelligence import hints


def connect() -> None:
    media_changed.connect(_ask_for_reconcile, dispatch_uid="intelligence.media_changed")
    entity_removed.connect(_ask_for_reconcile, dispatch_uid="intelligence.entity_removed")


def _ask_for_reconcile(**_signal: object) -> None:
    transaction.on_commit(hints.reconcile)
