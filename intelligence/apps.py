from __future__ import annotations

from django.apps import AppConfig

from vectors import choose_models_by


class IntelligenceConfig(AppConfig):
    name = "intelligence"

    def ready(self) -> None:
        from entities.api import extensions  # noqa: PLC0415  (models must be loaded first)
        from intelligence import model_versions, receivers  # noqa: PLC0415
        from intelligence.api.intelligence_data import ENTITY_EXTENSION  # noqa: PLC0415

        choose_models_by(model_versions.current_model, model_versions.dimension)
        receivers.connect()
        extensions.register(ENTITY_EXTENSION)
