from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings
from django.contrib import admin


class StoreProjectConfig(AppConfig):
    name = "store_project"
    verbose_name = "Store"

    def ready(self) -> None:
        from store_project import checks, logs, unknown_tasks  # noqa: F401, PLC0415  (each registers itself)

        admin.site.site_header = f"Store {settings.VERSION}"
