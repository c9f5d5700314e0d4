from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from store_project.views import HealthView

urlpatterns = [
    path("", HealthView.as_view(), name="health"),
    path("admin/", admin.site.urls),
    path("", include("entities.api.urls")),
    path("", include("intelligence.api.urls")),
]

handler404 = "store_project.views.unknown_path"
