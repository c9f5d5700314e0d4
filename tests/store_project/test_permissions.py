"""Who may do what: every kind of caller at every kind of route, in guest mode and out of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import override_settings
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIClient

from entities.api.signed_urls import signed_query
from entities.guest_mode import set_guest_mode
from tests.factories import make_collection, make_photo
from tests.populated import answer_errands
from tests.tokens import TokenService, bearer, nobody

pytestmark = pytest.mark.django_db

READ, WRITE = "media_store_read", "media_store_write"
MEMBERS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "reader": {"permissions": [READ]},
    "writer": {"permissions": [WRITE]},
    "both": {"permissions": [READ, WRITE]},
    "wildcard": {"permissions": ["*"]},
    "permission admin": {"permissions": ["admin"]},
    "inference": {"permissions": ["ai_inference_support"]},
    "admin": {"is_admin": True},
}
BROKEN: dict[str, dict[str, Any]] = {
    "expired": {"exp": time.time() - 60, "is_admin": True},
    "bad claims": {"id": 7, "is_admin": True},
    "without expiry": {"exp": None, "is_admin": True},
}
CALLERS = ["nobody", *MEMBERS, *BROKEN, "malformed", "foreign signature"]

ROUTES: dict[str, list[tuple[str, str, dict[str, str]]]] = {
    "public": [("get", "/", {}), ("get", "/m_insight/status", {}), ("get", "/auth/public-key", {})],
    "read": [
        ("get", "/entities", {}),
        ("get", "/entities/{id}", {}),
        ("get", "/intelligence/entities/{id}/faces", {}),
    ],
    # Of an entity that is not there: only who may see the media is told so.
    "media": [("get", "/entities/4711/media", {}), ("get", "/entities/4711/preview", {})],
    "write": [("post", "/entities", {"is_collection": "true", "label": "x"})],
    "admin": [
        ("get", "/admin/pref", {}),
        ("get", "/admin/config", {}),
        ("put", "/admin/pref/guest-mode", {"guest_mode": "true"}),
        ("put", "/admin/config/guest-mode", {"guest_mode": "true"}),
        ("get", "/system/audit", {}),
        ("get", "/metrics", {}),
        ("post", "/system/clear-orphans", {}),
    ],
}
DONE = {200, 201}
NEEDED = {"read": READ, "media": READ, "write": WRITE}


def expected(caller: str, kind: str, *, guests: bool) -> set[int]:
    allowed = {404} if kind == "media" else DONE
    if kind == "public":
        return allowed
    if caller not in {"nobody", *MEMBERS}:
        return {401}
    if caller == "admin" or (kind in {"read", "media"} and guests):
        return allowed
    if caller == "nobody":
        return {401}
    return allowed if NEEDED.get(kind) in MEMBERS[caller].get("permissions", []) else {403}


@pytest.fixture
def client_of(service: TokenService) -> Callable[[str], APIClient]:
    def client(caller: str) -> APIClient:
        if caller == "nobody":
            return nobody()
        if caller == "malformed":
            return bearer("x.y.z")
        if caller == "foreign signature":
            return bearer(TokenService().token(is_admin=True))
        return bearer(service.token(**{**MEMBERS, **BROKEN}[caller]))

    return client


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer_errands(monkeypatch, tmp_path)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("guests", ["on", "off"])
@pytest.mark.parametrize("kind", ROUTES)
@pytest.mark.parametrize("caller", CALLERS)
def test_every_caller_at_every_route(
    caller: str,
    kind: str,
    guests: str,
    client_of: Callable[[str], APIClient],
) -> None:
    collection = make_collection()
    client = client_of(caller)
    for method, path, form in ROUTES[kind]:
        set_guest_mode(is_on=guests == "on", by=None)
        answer = getattr(client, method)(path.format(id=collection.pk), form)
        assert answer.status_code in expected(caller, kind, guests=guests == "on"), (method, path)


@pytest.mark.parametrize("caller", CALLERS)
def test_a_signed_link_and_open_media_ask_nobody(caller: str, client_of: Callable[[str], APIClient]) -> None:
    set_guest_mode(is_on=False, by=None)
    client = client_of(caller)
    for path in ("/entities/4711/media", "/entities/4711/preview"):
        assert client.get(f"{path}?{signed_query(4711)}").status_code == 404
        signed_for_another = client.get(f"{path}?{signed_query(4712)}").status_code
        assert signed_for_another in expected(caller, "media", guests=False)
        with override_settings(MEDIA_OPEN=True):
            assert client.get(path).status_code == 404
            entities = client.get("/entities").status_code
            assert entities in expected(caller, "read", guests=False)


def test_a_link_of_an_entity_opens_without_a_token(service: TokenService, media_root: Any) -> None:
    set_guest_mode(is_on=False, by=None)
    photo = make_photo()
    answer = bearer(service.token(READ)).get(f"/entities/{photo.pk}").json()
    (media_root / photo.file_path).unlink()
    for name in ("media_url", "preview_url"):
        link = urlsplit(answer[name])
        opened = nobody().get(f"{link.path}?{link.query}")
        assert opened.json() == {"detail": "Media file not found"}


@pytest.mark.parametrize("path", ["/entities/4711", "/entities/4711/media", "/entities/4711/preview"])
def test_what_exists_is_told_only_to_who_may_read(service: TokenService, path: str) -> None:
    set_guest_mode(is_on=False, by=None)
    assert nobody().get(path).status_code == 401
    assert bearer(service.token()).get(path).status_code == 403
    assert bearer(service.token(READ)).get(path).status_code == 404


def test_a_body_is_judged_only_where_it_may_be_sent(service: TokenService) -> None:
    for body in ({"is_collection": "perhaps"}, {}):
        assert nobody().post("/entities", body).status_code == 401
        assert bearer(service.token(READ)).post("/entities", body).status_code == 403
        assert bearer(service.token(WRITE)).post("/entities", body).status_code == 422
    assert nobody().put("/admin/pref/guest-mode", {"guest_mode": "?"}).status_code == 401


@pytest.mark.parametrize(
    ("client_name", "method", "path", "text"),
    [
        ("nobody", "post", "/entities", "Authentication required"),
        ("nothing", "post", "/entities", "Insufficient permissions. Required: media_store_write"),
        ("nothing", "get", "/entities", "Insufficient permissions. Required: media_store_read"),
        ("both", "get", "/admin/pref", "Admin access required"),
    ],
)
def test_a_refusal_says_what_is_missing(
    client_name: str, method: str, path: str, text: str, client_of: Callable[[str], APIClient]
) -> None:
    set_guest_mode(is_on=False, by=None)
    assert getattr(client_of(client_name), method)(path).json() == {"detail": text}


@pytest.mark.parametrize("caller", ["nobody", "nothing", "admin"])
def test_a_wrong_method_is_that_to_everybody(caller: str, client_of: Callable[[str], APIClient]) -> None:
    for method, path in (("delete", "/entities"), ("post", "/m_insight/status"), ("patch", "/admin/pref")):
        answer = getattr(client_of(caller), method)(path)
        assert answer.status_code == 405
        assert answer.json() == {"detail": "Method Not Allowed"}


def test_a_misspelt_declaration_opens_nothing(client_of: Callable[[str], APIClient]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("store_project.administration.PreferencesView.access", "amdin")
        assert client_of("nobody").get("/admin/pref").status_code == 500


PUBLIC = {"/", "/healthz", "/readyz", "/m_insight/status", "/auth/token", "/auth/public-key"}
PUBLIC |= {"/api/schema", "/api/docs"}


def routes_of_the_api(patterns: Any, prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        text = prefix + str(pattern.pattern).removeprefix("^").removesuffix("$").removesuffix("/?")
        if isinstance(pattern, URLResolver):
            yield from routes_of_the_api(pattern.url_patterns, text)
        elif isinstance(pattern, URLPattern) and hasattr(pattern.callback, "cls"):
            yield "/" + re.sub(r"\(\?P<\w+>.*?\)", "1", text).replace("\\", "")


def test_no_route_is_public_by_mistake(public_key: Any) -> None:
    set_guest_mode(is_on=False, by=None)
    routes = set(routes_of_the_api(get_resolver().url_patterns))
    assert routes > PUBLIC
    for route in sorted(routes - PUBLIC):
        codes = {
            method: getattr(nobody(), method)(route).status_code
            for method in ("get", "post", "put", "patch", "delete")
        }
        assert set(codes.values()) <= {401, 405}, (route, codes)
        assert 401 in codes.values(), (route, codes)
