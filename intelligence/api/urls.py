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
from intelligence.api.people_views import DecisionViewSet, KnownPersonViewSet, OperationViewSet
from intelligence.api.search_views import SearchViewSet
from intelligence.api.views import EntityIntelligenceViewSet

ENTITY = r"entities/(?P<entity_id>[^/]+)"
FACE = r"faces/(?P<face_id>[^/]+)"
PEOPLE = "intelligence/known-persons"
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
    _route(f"intelligence/{FACE}/why", FaceViewSet, "face-why", get="why"),
    _route("intelligence/faces/waiting", DecisionViewSet, "waiting-faces", get="waiting"),
    _route("intelligence/faces/confirm", DecisionViewSet, "confirm-faces", post="confirm"),
    _route("intelligence/faces/reject", DecisionViewSet, "reject-faces", post="reject"),
    _route("intelligence/faces/assign", DecisionViewSet, "assign-faces", post="assign"),
    _route(f"{PEOPLE}/merge", KnownPersonViewSet, "merge-people", post="merge"),
    _route(f"{PEOPLE}/suggested-merges", KnownPersonViewSet, "suggested-merges", get="suggested_merges"),
    _route(f"{PEOPLE}/operations", OperationViewSet, "people-operations", get="list"),
    _route(f"{PEOPLE}/undo/(?P<operation_id>[^/]+)", OperationViewSet, "undo-people", post="undo"),
    _route(f"intelligence/{PERSON}/split", KnownPersonViewSet, "split-person", post="split"),
    _route(f"intelligence/{PERSON}/distinguish", KnownPersonViewSet, "tell-apart", post="distinguish"),
    _route(f"intelligence/{PERSON}/hide", KnownPersonViewSet, "hide-person", post="hide"),
    _route(f"intelligence/{PERSON}/cover", KnownPersonViewSet, "cover-person", post="cover"),
    *_both("known-persons", KnownPersonViewSet, "known-persons", get="list"),
    *_both(PERSON, KnownPersonViewSet, "known-person", get="retrieve", patch="rename"),
    *_both(f"{PERSON}/faces", KnownPersonViewSet, "known-person-faces", get="faces"),
]
