from __future__ import annotations

from django.apps import AppConfig


class IntelligenceConfig(AppConfig):
    name = "intelligence"

    def ready(self) -> None:
        from intelligence import receivers  # noqa: PLC0415  (models must be loaded first)

        receivers.connect()
