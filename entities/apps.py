from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate


class EntitiesConfig(AppConfig):
    name = "entities"

    def ready(self) -> None:
        post_migrate.connect(_repair_derived, sender=self, dispatch_uid="entities.derived")


def _repair_derived(*, using: str, **_signal: Any) -> None:
    from entities.counting import COUNTS  # noqa: PLC0415  (models must be loaded first)
    from entities.searching import SEARCH  # noqa: PLC0415

    for derived in (COUNTS, SEARCH):
        derived.repair(connections[using])
