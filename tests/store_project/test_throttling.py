"""How often somebody may read who has not said who they are; and what callers may store in a day."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings

from entities.api.signed_urls import signed_query
from entities.models import Entity, Tally
from entities.services import patch_entity, remove_entity
from entities.storage import EntityStorageService
from store_project import throttling
from tests.factories import jpeg, make_collection
from tests.tokens import TokenService, bearer, nobody

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def in_one_minute(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(time, "time", lambda: 1_800_000_030.0)
    cache.clear()
    with override_settings(ANONYMOUS_READS_PER_MINUTE=3):
        yield


def codes(client: Any, path: str, times: int, **meta: str) -> list[int]:
    return [client.get(path, **meta).status_code for _ in range(times)]


def test_it_works() -> None:
    assert codes(nobody(), "/entities", 3) == [200, 200, 200]
    refused = nobody().get("/entities")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "30"
    assert "throttled" in refused.json()["detail"]
    assert codes(nobody(), "/entities", 1, REMOTE_ADDR="10.0.0.9") == [200]


def test_the_next_minute_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert codes(nobody(), "/entities", 4)[-1] == 429
    monkeypatch.setattr(time, "time", lambda: 1_800_000_060.0)
    assert codes(nobody(), "/entities", 1) == [200]


def test_who_is_known_is_not_counted(service: TokenService) -> None:
    assert set(codes(bearer(service.token("media_store_read")), "/entities", 10)) == {200}


def test_neither_are_health_and_signed_links() -> None:
    assert set(codes(nobody(), "/healthz", 10)) == {200}
    assert set(codes(nobody(), f"/entities/4711/media?{signed_query(4711)}", 10)) == {404}
    assert codes(nobody(), "/entities", 3) == [200, 200, 200]


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_cache_that_is_away_stops_nobody() -> None:
    away = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:1/0",
        "OPTIONS": {"socket_connect_timeout": 0.5},
    }
    try:
        with override_settings(CACHES={"default": away}):
            began = time.monotonic()
            assert set(codes(nobody(), "/entities", 10)) == {200}
        assert time.monotonic() - began < 5
    finally:
        throttling.AnonymousReads._uncounted_until = 0.0


# --- Quotas ---


def upload(client: Any, seed: int) -> Any:
    content = SimpleUploadedFile("x.jpg", jpeg(seed))
    return client.post("/entities", {"is_collection": "false", "media_file": content})


@pytest.fixture
def one_day(media_root: Any) -> Iterator[int]:
    """Room for two and a half photos."""
    size = len(jpeg(1))
    with override_settings(UPLOAD_BYTES_PER_DAY=int(2.5 * size)):
        yield size


def test_a_day_is_full(service: TokenService, one_day: int) -> None:
    ada, bob = (bearer(service.token("media_store_write", id=name)) for name in ("ada", "bob"))
    assert [upload(ada, seed).status_code for seed in (1, 2)] == [201, 201]
    refused = upload(ada, 3)
    assert refused.status_code == 429
    assert "tomorrow" in refused.json()["detail"]
    assert 0 < int(refused.headers["Retry-After"]) <= 24 * 3600
    assert Entity.objects.count() == 2
    assert not list((EntityStorageService.from_settings().media_root / "incoming").glob("*"))
    assert upload(bob, 3).status_code == 201
    Tally.objects.filter(kind="quota").update(detail="2001-01-01")
    assert upload(ada, 4).status_code == 201
    assert Tally.objects.filter(kind="quota").count() == 1, "earlier days are forgotten"


def test_what_is_not_stored_is_not_counted(service: TokenService, one_day: int) -> None:
    ada = bearer(service.token("media_store_write", id="ada"))
    broken = SimpleUploadedFile("x.jpg", jpeg(7)[:200])
    collection = make_collection()
    for _ in range(3):
        assert upload(ada, 1).status_code in {200, 201}
        form = {"is_collection": "false", "media_file": broken}
        assert ada.post("/entities", form).status_code == 422
        form = {"is_collection": "false", "media_file": SimpleUploadedFile("x", jpeg(8)), "label": "x"}
        assert ada.put(f"/entities/{collection.pk}", form).status_code in {400, 409, 422}
    assert upload(ada, 2).status_code == 201
    assert upload(ada, 3).status_code == 429


def test_a_replacement_counts_as_well(service: TokenService, one_day: int) -> None:
    ada = bearer(service.token("media_store_write", id="ada"))
    photo = upload(ada, 1).json()["id"]
    answers = []
    for seed in (2, 3):
        form = {"is_collection": "false", "label": "x", "media_file": SimpleUploadedFile("x", jpeg(seed))}
        answers.append(ada.put(f"/entities/{photo}", form).status_code)
    assert answers == [200, 429]


def test_a_day_that_is_full_is_told_before_anything_is_received(service: TokenService, one_day: int) -> None:
    ada = bearer(service.token("media_store_write", id="ada"))
    with override_settings(UPLOAD_BYTES_PER_DAY=1):
        answer = ada.generic(
            "POST", "/entities", "never read", "multipart/form-data; boundary=x", CONTENT_LENGTH=str(10**9)
        )
    assert answer.status_code == 429


def test_removing_gives_nothing_back(service: TokenService, one_day: int) -> None:
    """It is what a caller may send in a day, not what lies here."""
    ada = bearer(service.token("media_store_write", id="ada"))
    for seed in (1, 2):
        photo = upload(ada, seed).json()["id"]
        patch_entity(photo, changes={"is_deleted": True})
        remove_entity(photo, storage=EntityStorageService.from_settings())
    assert upload(ada, 3).status_code == 429
