"""Pages load and run what is ours alone; what people have stored runs nothing."""

from __future__ import annotations

import io
import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from PIL import Image

from store_project.content_policy import POLICY
from tests.factories import make_collection, make_photo

pytestmark = pytest.mark.django_db
RUNS_INSIDE = re.compile(rb"<script(?![^>]*(?:src=|application/json))|\son[a-z]+=|javascript:", re.IGNORECASE)
"""A script within a page, for which the policy has no room."""

PAGES = [
    *("/admin/", "/admin/entities/entity/", "/admin/entities/entity/{id}/history/", "/admin/auth/user/add/"),
    *("/", "/entities", "/entities/{id}", "/entities/{id}/versions", "/intelligence/known-persons"),
    *("/api/docs", "/api-auth/login"),
]


@pytest.fixture
def browser() -> Client:
    client = Client(headers={"accept": "text/html"})
    client.force_login(User.objects.create_superuser("someone"))
    return client


@pytest.mark.parametrize("path", PAGES)
def test_pages_keep_to_the_policy(browser: Client, path: str) -> None:
    page = browser.get(path.format(id=make_collection().pk))

    assert page.status_code == 200
    assert page["Content-Security-Policy"] == POLICY
    assert RUNS_INSIDE.search(page.content) is None


def test_scripts_come_from_the_store_alone() -> None:
    allowed = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert allowed["default-src"] == allowed["base-uri"] == allowed["frame-ancestors"] == "'none'"
    assert allowed["script-src"] == "'self'"


@pytest.mark.parametrize("path", ["/nowhere", "/entities/0", "/favicon.ico"])
def test_every_answer_has_it(browser: Client, path: str) -> None:
    answer = browser.get(path)
    assert answer["Content-Security-Policy"] == POLICY
    answer.close()


def test_what_people_have_stored_is_under_a_stricter_one(browser: Client) -> None:
    policy = browser.get(f"/entities/{make_photo(1).pk}/media")["Content-Security-Policy"]
    assert policy == "default-src 'none'; sandbox"


def test_the_documentation_runs_its_script_from_a_file(browser: Client) -> None:
    page = browser.get("/api/docs").content.decode()
    script = re.search(r'src="(/api/docs[^"]*)"', page)
    assert script is not None
    answer = browser.get(script[1].replace("&amp;", "&"), headers={"accept": "*/*"})
    assert answer["Content-Type"].startswith("application/javascript")
    assert b"SwaggerUIBundle" in answer.content


def test_logging_out_needs_no_script(browser: Client) -> None:
    assert b'<form action="/api-auth/logout' in browser.get("/entities").content
    browser.post("/api-auth/logout")
    assert b"Log in" in browser.get("/entities").content


def test_the_icon(browser: Client) -> None:
    answer = browser.get("/favicon.ico")
    with Image.open(io.BytesIO(answer.getvalue())) as icon:
        assert icon.size == (32, 32)
    answer.close()
