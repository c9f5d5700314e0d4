"""Every route answers with and without a slash at its end.

Most are also spoken without the prefix, by older clients; there `embedding` is the CLIP embedding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.urls import URLPattern, re_path
from rest_framework.viewsets import ViewSet

from intelligence.api.duplicate_views import DuplicateViewSet
from intelligence.api.face_views import FaceViewSet
from intelligence.api.people_views import KnownPersonViewSet
from intelligence.api.search_views import SearchViewSet
from intelligence.api.views import EntityIntelligenceViewSet

ENTITY = r"entities/(?P<entity_id>[^/]+)"
FACE = r"faces/(?P<face_id>[^/]+)"
PERSON = r"known-persons/(?P<person_id>[^/]+)"


def _route(path: str, views: type[ViewSet], name: str, **actions: Any) -> URLPattern:
    return re_path(rf"^{path}/?$", views.as_view(actions), name=name)


def _both(path: str, views: type[ViewSet], name: str, **actions: Any) -> Iterator[URLPattern]:
    yield _route(f"intelligence/{path}", views, name, **actions)
    yield _route(path, views, f"legacy-{name}", **actions)


urlpatterns = [
    _route("intelligence/duplicates", DuplicateViewSet, "duplicates", get="groups"),
    _route("intelligence/search", SearchViewSet, "search", get="find", post="by_picture"),
    _route(f"intelligence/{ENTITY}", EntityIntelligenceViewSet, "entity-intelligence", get="retrieve"),
    *_both(f"{ENTITY}/faces", EntityIntelligenceViewSet, "entity-faces", get="faces"),
    *_both(f"{ENTITY}/jobs", EntityIntelligenceViewSet, "entity-jobs", get="jobs"),
    *_both(f"{ENTITY}/similar", EntityIntelligenceViewSet, "entity-similar", get="similar"),
    *_both(f"{ENTITY}/embedding", EntityIntelligenceViewSet, "entity-embedding", get="clip_embedding"),
    _route(
        f"intelligence/{ENTITY}/clip_embedding",
        EntityIntelligenceViewSet,
        "entity-clip-embedding",
        get="clip_embedding",
    ),
    _route(
        f"intelligence/{ENTITY}/dino_embedding",
        EntityIntelligenceViewSet,
        "entity-dino-embedding",
        get="dino_embedding",
    ),
    _route(FACE, FaceViewSet, "face", delete="destroy"),
    _route(f"intelligence/{FACE}/crop", FaceViewSet, "face-crop", get="crop"),
    *_both(f"{FACE}/embedding", FaceViewSet, "face-embedding", get="embedding"),
    *_both(f"{FACE}/similar", FaceViewSet, "face-similar", get="similar"),
    *_both(f"{FACE}/matches", FaceViewSet, "face-matches", get="matches"),
    *_both("known-persons", KnownPersonViewSet, "known-persons", get="list"),
    *_both(PERSON, KnownPersonViewSet, "known-person", get="retrieve", patch="rename"),
    *_both(f"{PERSON}/faces", KnownPersonViewSet, "known-person-faces", get="faces"),
]
