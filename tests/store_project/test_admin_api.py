"""The service's own routes, and that they leave Django's admin alone."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.utils import timezone
from rest_framework.test import APIClient

from entities.guest_mode import set_guest_mode
from entities.models import ServiceConfig
from intelligence import worker_status
from tests.tokens import TokenService, nobody

pytestmark = pytest.mark.django_db

STATUS_KEYS = {"status", "timestamp", "version_start", "version_end", "processed_count"}


def test_health_tells_what_clients_look_for() -> None:
    assert nobody().get("/").json() == {
        "status": "healthy",
        "service": "CoLAN Store Server",
        "version": "v1",
        "release": "0.1.0",
        "guestMode": "on",
    }


@pytest.mark.parametrize("path", ["/m_insight/status", "/m_insight/status/"])
def test_the_worker_is_unknown_until_it_says_something(path: str) -> None:
    said = nobody().get(path).json()
    assert set(said) == STATUS_KEYS
    assert said["status"] == "unknown"
    assert isinstance(said["timestamp"], int)
    assert abs(said["timestamp"] - time.time() * 1000) < 10_000
    assert said["version_start"] is said["version_end"] is said["processed_count"] is None


def test_what_the_worker_said_is_passed_on() -> None:
    worker_status.pass_started(3)
    said = nobody().get("/m_insight/status").json()
    assert (said["status"], said["version_start"], said["processed_count"]) == ("running", 3, -1)
    worker_status.pass_ended(3, 9, 4)
    said = nobody().get("/m_insight/status").json()
    assert abs(said.pop("timestamp") - time.time() * 1000) < 10_000
    assert said == {"status": "idle", "version_start": 3, "version_end": 9, "processed_count": 4}


def test_a_worker_that_is_not_heard_is_offline() -> None:
    worker_status.worker_started()
    ServiceConfig.objects.update(updated_at=timezone.now() - worker_status.STALE)
    assert nobody().get("/m_insight/status").json()["status"] == "offline"


@pytest.mark.parametrize("junk", ["junk", {}, {"status": "dancing"}, 7])
def test_a_junk_worker_status_is_unknown(junk: object) -> None:
    ServiceConfig.objects.create(key=worker_status.KEY, value=junk)
    assert nobody().get("/m_insight/status").json()["status"] == "unknown"


def test_djangos_admin_is_where_it_was() -> None:
    browser = nobody()
    assert browser.get("/admin").headers["Location"] == "/admin/"
    assert browser.get("/admin/").headers["Location"].startswith("/admin/login/")
    browser.force_login(User.objects.create_superuser("root"))
    assert b"Site administration" in browser.get("/admin/").content
    assert browser.get("/admin/auth/user/").status_code == 200


# --- Sessions ---------------------------------------------------------------------------------------------


@pytest.fixture
def browser() -> APIClient:
    user = User.objects.create_user("ada")
    user.user_permissions.add(Permission.objects.get(codename="media_store_write"))
    client = APIClient(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(user)
    return client


def csrf_token(browser: APIClient) -> str:
    browser.get("/api-auth/login")  # sets the cookie
    return browser.cookies["csrftoken"].value


def test_a_session_grants_what_the_user_may(browser: APIClient) -> None:
    set_guest_mode(is_on=False, by=None)
    form = {"is_collection": "true", "label": "x"}
    answer = browser.post("/entities", form, HTTP_X_CSRFTOKEN=csrf_token(browser))
    assert answer.status_code == 201
    assert answer.json()["added_by"] == str(User.objects.get().pk)
    assert browser.get("/entities").status_code == 403
    assert browser.get("/admin/pref").status_code == 403
    User.objects.update(is_superuser=True)
    assert browser.get("/entities").status_code == 200
    assert browser.get("/admin/pref").status_code == 200


@pytest.mark.parametrize("header", [{}, {"HTTP_X_CSRFTOKEN": "x" * 32}], ids=["none", "wrong"])
def test_a_session_alone_writes_nothing(browser: APIClient, header: dict[str, Any]) -> None:
    csrf_token(browser)
    answer = browser.post("/entities", {"is_collection": "true", "label": "x"}, **header)
    assert answer.status_code == 403
    assert answer.json()["detail"].startswith("CSRF Failed: ")


def test_a_token_goes_before_a_session(browser: APIClient, service: TokenService) -> None:
    browser.credentials(HTTP_AUTHORIZATION=f"Bearer {service.token('media_store_write', id='eve')}")
    answer = browser.post("/entities", {"is_collection": "true", "label": "x"})
    assert answer.json()["added_by"] == "eve"
    browser.credentials(HTTP_AUTHORIZATION="Bearer broken")
    assert browser.get("/entities").status_code == 401


def test_an_inactive_user_has_no_session(browser: APIClient) -> None:
    set_guest_mode(is_on=False, by=None)
    User.objects.update(is_active=False, is_superuser=True)
    assert browser.get("/entities").status_code == 401


@pytest.mark.parametrize("slash", ["", "/"])
def test_one_logs_in_and_out_in_the_browser(slash: str) -> None:
    User.objects.create_user("ada", password="correct horse")
    client = APIClient(enforce_csrf_checks=True)
    form = {"username": "ada", "password": "correct horse"}
    refused = client.post(f"/api-auth/login{slash}", form)
    assert refused.status_code == 403
    assert refused.json()["detail"].startswith("CSRF Failed: ")
    token = csrf_token(client)
    entered = client.post(f"/api-auth/login{slash}?next=/entities", {**form, "csrfmiddlewaretoken": token})
    assert entered.headers["Location"] == "/entities"
    page = client.get("/entities", HTTP_ACCEPT="text/html")
    assert b"ada" in page.content
    token = client.cookies["csrftoken"].value
    client.post(f"/api-auth/logout{slash}", {"csrfmiddlewaretoken": token})
    assert "sessionid" not in client.cookies or not client.cookies["sessionid"].value


def test_login_leads_to_no_other_site() -> None:
    User.objects.create_user("ada", password="correct horse")
    form = {"username": "ada", "password": "correct horse"}
    answer = nobody().post("/api-auth/login?next=https://example.org/", form)
    assert answer.headers["Location"] == "/"
