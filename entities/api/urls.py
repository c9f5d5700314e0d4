"""Every route answers with and without a slash at its end; a redirect would lose a POST's body."""

from __future__ import annotations

from django.urls import URLPattern, re_path

from entities.api.file_views import EntityFileViewSet, EntityStreamViewSet
from entities.api.views import EntityView, EntityViewSet

ONE = r"/(?P<entity_id>[^/]+)"


def _route(path: str, view: type[EntityView], name: str, **actions: str) -> URLPattern:
    return re_path(rf"^entities{path}/?$", view.as_view({**actions}), name=name)


urlpatterns = [
    _route("", EntityViewSet, "entity-list", get="list", post="create"),
    _route("/lookup", EntityViewSet, "entity-lookup", get="lookup"),
    _route(
        ONE,
        EntityViewSet,
        "entity-detail",
        get="retrieve",
        put="update",
        patch="partial_update",
        delete="destroy",
    ),
    _route(f"{ONE}/versions", EntityViewSet, "entity-versions", get="versions"),
    _route(f"{ONE}/restore", EntityViewSet, "entity-restore", post="restore"),
    _route(f"{ONE}/media", EntityFileViewSet, "entity-media", get="media"),
    _route(f"{ONE}/preview", EntityFileViewSet, "entity-preview", get="preview"),
    _route(f"{ONE}/stream", EntityStreamViewSet, "entity-stream", delete="remove_stream"),
    _route(rf"{ONE}/stream/(?P<filename>[^/]+)", EntityStreamViewSet, "entity-stream-file", get="stream"),
]
