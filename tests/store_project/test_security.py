"""Headers, cookies and settings of a production configuration."""

from __future__ import annotations

import pytest
from django.test import Client, override_settings

from store_project.config import BASE_DIR
from tests.processes import Manage
from tests.tokens import nobody

pytestmark = pytest.mark.django_db

PRODUCTION = {
    "ALLOWED_HOSTS": "photos.example.org",
    "HTTPS": "true",
    "PROXIES": "1",
    "CSRF_TRUSTED_ORIGINS": "https://photos.example.org",
}
PROGRAM = """
import django
from django.test import Client
django.setup()
for secure in (False, True):
    answer = Client().get("/healthz", secure=secure, headers={"host": "photos.example.org"})
    print(answer.status_code, answer.headers.get("Strict-Transport-Security"))
print(Client().get("/entities", headers={"host": "photos.example.org"}).headers["Location"])
proxied = {"host": "photos.example.org", "x-forwarded-proto": "https"}
page = Client().get("/admin/login/", headers=proxied)
print(page.status_code, page.cookies["csrftoken"]["secure"])
print(Client().get("/healthz", headers={"host": "evil.example"}).status_code)
"""


@pytest.mark.parametrize("path", ["/", "/entities", "/admin/login/", "/no/such/path", "/api/docs"])
def test_every_answer_is_guarded(path: str) -> None:
    headers = Client().get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["X-Frame-Options"] == "DENY"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "Strict-Transport-Security" not in headers, "not where HTTPS is not promised"


def test_nothing_is_said_against_a_production_configuration(manage: Manage) -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_a_try_at_home_is_not_taken_for_one(manage: Manage) -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING", AUTH_DISABLED="true", DEBUG="true")
    assert done.returncode == 1
    for word in ("security.W008", "security.W018", "AUTH_DISABLED"):
        assert word in done.stderr


def test_over_https_only(manage: Manage) -> None:
    assert manage("migrate", **PRODUCTION).returncode == 0
    done = manage("shell", "--no-imports", "-c", PROGRAM, **PRODUCTION)
    plain, secure, redirected, page, stranger = done.stdout.splitlines()[-5:]
    assert plain == "200 None", "what watches the processes asks inside the network"
    assert secure == "200 max-age=31536000"
    assert redirected == "https://photos.example.org/entities"
    assert page == "200 True"
    assert stranger == "400"


def test_without_a_proxy_nobody_can_claim_https(manage: Manage) -> None:
    said = "from django.conf import settings; print(settings.SECURE_PROXY_SSL_HEADER)"
    assert (
        manage("shell", "--no-imports", "-c", said, **{**PRODUCTION, "PROXIES": "0"}).stdout.strip() == "None"
    )


@override_settings(SECURE_SSL_REDIRECT=True)
def test_a_scraper_is_not_redirected() -> None:
    assert nobody().get("/metrics").status_code == 401
    assert nobody().get("/entities").status_code == 301


def test_what_to_do_with_a_weakness_is_written_down() -> None:
    text = (BASE_DIR / "SECURITY.md").read_text()
    assert "HTTPS=true" in text
    assert "METRICS_TOKEN" in text
