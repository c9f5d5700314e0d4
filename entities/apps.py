from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db import connections
from django.db.models.signals import post_migrate
from PIL import Image


class EntitiesConfig(AppConfig):
    name = "entities"

    def ready(self) -> None:
        _let_one_limit_rule()
        post_migrate.connect(_repair_derived, sender=self, dispatch_uid="entities.derived")


def _let_one_limit_rule() -> None:
    """Pillow refuses what has more than twice the pixels of its own limit; ours is the one to go by."""
    Image.MAX_IMAGE_PIXELS = -(-settings.MAX_IMAGE_PIXELS // 2)


def _repair_derived(*, using: str, **_signal: Any) -> None:
    from entities.counting import COUNTS  # noqa: PLC0415  (models must be loaded first)
    from entities.searching import SEARCH  # noqa: PLC0415

    for derived in (COUNTS, SEARCH):
        derived.repair(connections[using])
