"""Every route answers with and without a slash at its end; a redirect would lose a POST's body."""

from __future__ import annotations

from django.urls import re_path

from entities.api.views import EntityFileViewSet, EntityViewSet

urlpatterns = [
    re_path(r"^entities/?$", EntityViewSet.as_view({"get": "list", "post": "create"}), name="entity-list"),
    re_path(
        r"^entities/(?P<entity_id>[^/]+)/media/?$",
        EntityFileViewSet.as_view({"get": "media"}),
        name="entity-media",
    ),
    re_path(
        r"^entities/(?P<entity_id>[^/]+)/preview/?$",
        EntityFileViewSet.as_view({"get": "preview"}),
        name="entity-preview",
    ),
    re_path(
        r"^entities/(?P<entity_id>[^/]+)/?$", EntityViewSet.as_view({"get": "retrieve"}), name="entity-detail"
    ),
]
