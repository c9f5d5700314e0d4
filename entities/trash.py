"""What lies in the trash, since when, and by whom: told by its history."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from entities.models import Entity
from entities.versions import History

BATCH_SIZE = 500


def contents() -> QuerySet[Any, Any]:
    """Each with `trashed_at` and `trashed_by`: of the first version since it was last outside the trash. What
    was never seen outside has come that way."""
    versions = History.objects.filter(id=OuterRef("pk")).order_by("-history_id")
    last_live = Subquery(versions.filter(is_deleted=False).values("history_id")[:1])
    first = History.objects.filter(id=OuterRef("pk"), history_id__gt=OuterRef("last_live")).order_by(
        "history_id"
    )
    found: QuerySet[Any, Any] = (
        Entity.objects.filter(is_deleted=True)
        .order_by("pk")
        .annotate(last_live=Coalesce(last_live, 0))
        .annotate(
            trashed_at=Coalesce(Subquery(first.values("history_date")[:1]), F("updated_date")),
            trashed_by=Subquery(first.values("history_user_id")[:1]),
        )
    )
    return found


def has_lain(entity_id: int, *, since: datetime) -> bool:
    return contents().filter(pk=entity_id, trashed_at__lte=since).exists()


def older_than(moment: datetime) -> Iterator[Any]:
    """Those that came into the trash before, by id; (id, trashed_at, trashed_by, label)."""
    last = 0
    while batch := list(
        contents()
        .filter(pk__gt=last, trashed_at__lte=moment)
        .values_list("pk", "trashed_at", "trashed_by", "label", named=True)[:BATCH_SIZE]
    ):
        last = batch[-1].pk
        yield from batch
