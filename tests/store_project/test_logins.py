"""How often a password may be tried, at every way in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.utils import timezone
from rest_framework.settings import api_settings

from entities.models import LoginAttempts
from store_project import logins
from tests.tokens import nobody

pytestmark = pytest.mark.django_db

PASSWORD = "a password of hers"


@pytest.fixture(autouse=True)
def ada(public_key: Any) -> Any:
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield User.objects.create_superuser("ada", password=PASSWORD)


def log_in(password: str, name: str = "ada", **meta: Any) -> Any:
    return nobody().post("/auth/token", {"username": name, "password": password}, **meta)


def fail(times: int, **options: Any) -> None:
    for _ in range(times):
        assert log_in("wrong", **options).status_code == 401


def test_it_works() -> None:
    fail(logins.TRIES_OF_ONE_NAME)
    refused = log_in(PASSWORD)
    assert refused.status_code == 429, "also with the right password"
    assert "Too many logins" in refused.json()["detail"]
    assert 0 < int(refused.headers["Retry-After"]) <= 15 * 60


@pytest.mark.parametrize("path", ["/admin/login/", "/api-auth/login"])
def test_the_pages_count_too(path: str) -> None:
    for _ in range(logins.TRIES_OF_ONE_NAME):
        assert Client().post(path, {"username": "ada", "password": "wrong"}).status_code == 200
    refused = Client().post(path, {"username": "ada", "password": PASSWORD})
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, True)
    assert "Too many logins" in refused.json()["detail"]


def test_who_is_right_is_not_counted() -> None:
    for _ in range(3 * logins.TRIES_OF_ONE_NAME):
        assert log_in(PASSWORD).status_code == 200
    fail(logins.TRIES_OF_ONE_NAME - 1)
    assert log_in(PASSWORD).status_code == 200
    fail(logins.TRIES_OF_ONE_NAME - 1)


def test_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    fail(logins.TRIES_OF_ONE_NAME)
    LoginAttempts.objects.update(since=timezone.now() - logins.WINDOW - timedelta(seconds=1))
    assert log_in(PASSWORD).status_code == 200
    fail(1, name="another")
    LoginAttempts.objects.update(since=timezone.now() - logins.WINDOW - timedelta(seconds=1))
    logins.forget_old()
    assert not LoginAttempts.objects.exists()


def test_others_are_not_shut_out() -> None:
    """Neither another name from here, nor the same one from elsewhere."""
    User.objects.create_user("bob", password=PASSWORD)
    fail(logins.TRIES_OF_ONE_NAME)
    assert log_in(PASSWORD, "bob").status_code == 200
    assert log_in(PASSWORD, REMOTE_ADDR="10.0.0.9").status_code == 200


def test_many_names_from_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "TRIES_OF_AN_ADDRESS", 5)
    for number in range(5):
        assert log_in("wrong", f"name {number}").status_code == 401
    assert log_in("wrong", "another").status_code == 429


def test_nobody_can_claim_to_be_elsewhere() -> None:
    """Without a proxy, what a request says of its origin counts for nothing."""
    for number in range(logins.TRIES_OF_ONE_NAME):
        assert log_in("wrong", HTTP_X_FORWARDED_FOR=f"10.0.0.{number}").status_code == 401
    assert log_in(PASSWORD, HTTP_X_FORWARDED_FOR="10.0.0.99").status_code == 429


def test_behind_a_proxy_its_word_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_settings, "NUM_PROXIES", 1)
    for number in range(logins.TRIES_OF_ONE_NAME):
        fail(1, HTTP_X_FORWARDED_FOR=f"1.2.3.{number}, 10.0.0.1")
    assert log_in(PASSWORD, HTTP_X_FORWARDED_FOR="9.9.9.9, 10.0.0.1").status_code == 429
    assert log_in(PASSWORD, HTTP_X_FORWARDED_FOR="10.0.0.1, 10.0.0.2").status_code == 200


def test_no_name_is_kept() -> None:
    fail(1, name="a password typed as a name")
    assert all(len(key) == 64 for key in LoginAttempts.objects.values_list("key", flat=True))


def test_over_a_socket_that_is_a_file_nobody_has_an_address() -> None:
    assert log_in(PASSWORD, REMOTE_ADDR=None).status_code == 200
    fail(logins.TRIES_OF_ONE_NAME, REMOTE_ADDR=None)
    assert log_in(PASSWORD, REMOTE_ADDR=None).status_code == 429
