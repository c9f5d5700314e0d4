from __future__ import annotations

from django.apps import AppConfig


class StoreProjectConfig(AppConfig):
    name = "store_project"
    verbose_name = "Store"

    def ready(self) -> None:
        from store_project import checks  # noqa: F401, PLC0415  (registers the system checks)
