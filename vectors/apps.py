from __future__ import annotations

from django.apps import AppConfig


class VectorsConfig(AppConfig):
    name = "vectors"
