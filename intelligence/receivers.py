"""From a change of an entity to the request that workers look at it: after the commit, or not at all."""

from __future__ import annotations

from django.db import transaction

from entities.signals import content_stored, entity_removed, media_changed
from intelligence import announce, hints


def connect() -> None:
    media_changed.connect(_ask_for_reconcile, dispatch_uid="intelligence.media_changed")
    entity_removed.connect(_ask_for_reconcile, dispatch_uid="intelligence.entity_removed")
    entity_removed.connect(_announce_status, dispatch_uid="intelligence.removed_status")
    content_stored.connect(_announce_content, dispatch_uid="intelligence.content_stored")


def _ask_for_reconcile(**_signal: object) -> None:
    transaction.on_commit(hints.reconcile)


def _announce_status(*, entity_id: int, **_signal: object) -> None:
    announce.entities([entity_id])


def _announce_content(*, entity_id: int, md5: str, **_signal: object) -> None:
    """The status too: what is known of earlier content, or of another entity of that id, is taken back."""
    announce.item(entity_id, md5)
    announce.entities([entity_id])
