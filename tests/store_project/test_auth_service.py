"""The store as its own token service, and what it refuses to be where there is another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import override_settings
from rest_framework.test import APIClient

from entities.guest_mode import set_guest_mode
from tests.tokens import TokenService, bearer, nobody

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("public_key")]

PASSWORD = " correct horse "


@pytest.fixture(autouse=True)
def _fast_hashes() -> Iterator[None]:
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield


@pytest.fixture
def user() -> User:
    user = User.objects.create_user("ada", password=PASSWORD)
    user.user_permissions.add(Permission.objects.get(codename="media_store_read"))
    return user


def log_in(username: str = "ada", password: str = PASSWORD, **options: Any) -> Any:
    return nobody().post("/auth/token", {"username": username, "password": password}, **options)


def claims_of(token: str) -> dict[str, Any]:
    answer = nobody().get("/auth/public-key").json()
    claims: dict[str, Any] = jwt.decode(token, answer["public_key"], [answer["algorithm"]])
    return claims


@pytest.mark.parametrize("path", ["/auth/token", "/auth/token/"])
def test_a_name_and_a_password_give_a_token(user: User, path: str) -> None:
    for form in (
        {"data": {"username": "ada", "password": PASSWORD}},
        {
            "data": "grant_type=password&username=ada&password=+correct+horse+",
            "content_type": "application/x-www-form-urlencoded",
        },
    ):
        answer = nobody().post(path, **form)
        assert answer.status_code == 200
        assert set(answer.json()) == {"access_token", "token_type"}
        assert answer.json()["token_type"] == "bearer"
        assert answer.headers["Cache-Control"] == "no-store"


def test_the_token_says_what_the_user_may(user: User) -> None:
    group = Group.objects.create(name="writers")
    group.permissions.add(Permission.objects.get(codename="media_store_write"))
    user.groups.add(group)
    claims = claims_of(log_in().json()["access_token"])
    assert claims["id"] == str(user.pk)
    assert claims["permissions"] == ["media_store_read", "media_store_write"]
    assert claims["is_admin"] is False
    assert abs(claims["exp"] - time.time() - 30 * 60) < 5


def test_the_store_accepts_its_own_token(user: User) -> None:
    set_guest_mode(is_on=False, by=None)
    client = bearer(log_in().json()["access_token"])
    assert client.get("/entities").status_code == 200
    assert client.post("/entities").status_code == 403


def test_a_superuser_is_admin() -> None:
    User.objects.create_superuser("root", password=PASSWORD)
    token = log_in("root").json()["access_token"]
    assert claims_of(token)["is_admin"] is True
    assert bearer(token).get("/admin/pref").status_code == 200


@pytest.mark.parametrize(("username", "password"), [("ada", "wrong"), ("ada", "correct horse"), ("eve", "x")])
def test_a_bad_login_is_refused(user: User, username: str, password: str) -> None:
    answer = log_in(username, password)
    assert answer.status_code == 401
    assert answer.json() == {"detail": "Incorrect username or password"}


def test_an_inactive_user_is_refused_like_an_unknown_one(user: User) -> None:
    User.objects.update(is_active=False)
    answer = log_in()
    assert answer.status_code == 401
    assert answer.json() == {"detail": "Incorrect username or password"}


@pytest.mark.parametrize("form", [{}, {"username": "ada"}, {"username": "", "password": ""}], ids=str)
def test_what_is_missing_is_named(user: User, form: dict[str, str]) -> None:
    answer = nobody().post("/auth/token", form)
    assert answer.status_code == 422
    assert {fault["loc"][0] for fault in answer.json()["detail"]} == {"body"}


@pytest.mark.parametrize("text", ["ada\0", "ä" * 151], ids=["NUL", "too long"])
def test_a_name_that_none_can_have_is_no_crash(text: str) -> None:
    assert log_in(username=text).status_code == 422


def test_neither_a_broken_token_nor_a_session_keeps_from_logging_in(user: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(user)
    for client in (bearer("broken"), browser):
        answer = client.post("/auth/token", {"username": "ada", "password": PASSWORD})
        assert answer.status_code == 200


def test_a_refreshed_token_has_the_permissions_of_now(user: User) -> None:
    token = log_in().json()["access_token"]
    user.user_permissions.add(Permission.objects.get(codename="media_store_write"))
    answer = bearer(token).post("/auth/token/refresh")
    assert answer.status_code == 200
    assert answer.json()["token_type"] == "bearer"
    claims = claims_of(answer.json()["access_token"])
    assert claims["permissions"] == ["media_store_read", "media_store_write"]
    assert bearer(answer.json()["access_token"]).post("/auth/token/refresh").status_code == 200


def become_inactive(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def change_password(user: User) -> None:
    user.set_password("another")
    user.save()


@pytest.mark.parametrize("end", [User.delete, become_inactive, change_password])
def test_a_login_that_ended_is_not_refreshed(user: User, end: Any) -> None:
    client = bearer(log_in().json()["access_token"])
    end(user)
    answer = client.post("/auth/token/refresh")
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert client.get("/users/me").status_code == 404


def test_refreshing_needs_a_token(user: User) -> None:
    assert nobody().post("/auth/token/refresh").status_code == 401
    session = nobody()
    session.force_login(user)
    assert session.post("/auth/token/refresh").status_code == 401


def test_a_token_signed_elsewhere_with_the_same_key_names_no_user_here(user: User, public_key: Path) -> None:
    log_in()
    private = public_key.with_name("private_key.pem").read_bytes()
    token = jwt.encode({"id": str(user.pk), "exp": time.time() + 60}, private, algorithm="ES256")
    assert bearer(token).post("/auth/token/refresh").status_code == 401
    assert bearer(token).get("/users/me").status_code == 404


def test_users_see_themselves(user: User) -> None:
    me = bearer(log_in().json()["access_token"]).get("/users/me").json()
    created = datetime.fromisoformat(me.pop("created_at"))
    assert created == user.date_joined
    assert me == {
        "id": user.pk,
        "username": "ada",
        "is_admin": False,
        "is_active": True,
        "permissions": ["media_store_read"],
    }
    session = nobody()
    session.force_login(user)
    assert session.get("/users/me").json()["username"] == "ada"
    assert nobody().get("/users/me").status_code == 401
    with override_settings(AUTH_DISABLED=True):
        assert nobody().get("/users/me").status_code == 404


def test_where_tokens_come_from_elsewhere_none_are_given_out(user: User, public_key: Path) -> None:
    service = TokenService()
    service.install(public_key)
    told = {"detail": "Tokens come from another service; log in there."}
    for answer in (log_in(), bearer(service.token(id=str(user.pk))).post("/auth/token/refresh")):
        assert answer.status_code == 404
        assert answer.json() == told
    assert bearer(service.token(id=str(user.pk))).get("/users/me").status_code == 404
    assert nobody().get("/auth/public-key").json()["public_key"] == public_key.read_text()


def test_keys_of_two_services_are_the_servers_fault(user: User, public_key: Path) -> None:
    log_in()
    TokenService().install(public_key)
    answer = log_in()
    assert answer.status_code == 503
    assert "does not belong" in answer.json()["detail"]
