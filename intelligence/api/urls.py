from __future__ import annotations

from django.urls import re_path

from intelligence.api.views import EntityIntelligenceViewSet

ENTITY = r"^intelligence/entities/(?P<entity_id>[^/]+)"


def _route(suffix: str, action: str) -> object:
    view = EntityIntelligenceViewSet.as_view({"get": action})
    return re_path(rf"{ENTITY}{suffix}/?$", view, name=f"entity-intelligence-{action}")


urlpatterns = [
    _route("", "retrieve"),
    _route("/faces", "faces"),
    _route("/jobs", "jobs"),
    _route("/similar", "similar"),
]
