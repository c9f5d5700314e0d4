"""Requests that no client sends: each is refused by what is wrong with it, and none breaks anything."""

from __future__ import annotations

import io
import json
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from rest_framework.test import APIClient

from store_project.authentication import Principal
from store_project.hostile_headers import plain_session_keys
from store_project.wsgi import application
from tests.factories import make_person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("one_connection")]
MULTIPART = "multipart/form-data; boundary=b"
SPLIT_AND_WHOLE = "x*0=a; x*=utf-8''b"
"""A parameter that Python's own parser of headers stumbles over."""


@pytest.fixture
def admin() -> APIClient:
    client = APIClient()
    principal: Any = Principal("ada", is_admin=True)
    client.force_authenticate(principal)
    return client


def ask(method: str, path: str, body: bytes = b"", **headers: str) -> tuple[str, Any]:
    """Through the WSGI application, as a web server does: the status, and what the JSON says."""
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **headers,
    }
    setup_testing_defaults(environ)
    answered: list[str] = []
    content = b"".join(application(environ, lambda status, _headers: answered.append(status)))
    return answered[0], json.loads(content)


def rename(admin: APIClient, body: bytes) -> Any:
    path = f"/intelligence/known-persons/{make_person().pk}"
    return admin.patch(path, body, content_type="application/json")


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"name":' * 100_000])
def test_json_nested_without_end(admin: APIClient, body: bytes) -> None:
    answer = rename(admin, body)
    assert answer.status_code == 400
    assert answer.json() == {"detail": "The JSON is nested too deeply."}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b'"\\ud800"', "\\ud800"),
        (b'"a\\u0000b"', "a\0b"),
        (b"1e999", "inf"),
        (b"7", 7),
        (b'["\\ud800"]', "['\\ud800']"),
    ],
)
def test_names_that_are_none(admin: APIClient, name: bytes, told: Any) -> None:
    answer = rename(admin, b'{"name":%b}' % name)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "name"]
    assert answer.json()["detail"][0]["input"] == told


@pytest.mark.parametrize(
    "disposition", [f"form-data; {SPLIT_AND_WHOLE}", f'form-data; name="label"; {SPLIT_AND_WHOLE}']
)
def test_a_part_whose_header_cannot_be_read(admin: APIClient, disposition: str) -> None:
    body = f"--b\r\nContent-Disposition: {disposition}\r\n\r\nwords\r\n--b--\r\n".encode()
    answer = admin.post("/entities", body, content_type=MULTIPART)
    assert answer.status_code == 400
    assert answer.json() == {"detail": "A header of a part cannot be read."}


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/auth/user/add/", "/api-auth/login/"])
def test_a_part_of_a_form_of_django_whose_header_cannot_be_read(path: str) -> None:
    body = (
        f'--b\r\nContent-Disposition: form-data; name="username"; {SPLIT_AND_WHOLE}\r\n\r\nada\r\n--b--\r\n'
    )
    status, told = ask(
        "POST", path, body.encode(), CONTENT_TYPE=MULTIPART, HTTP_COOKIE=f"csrftoken={'x' * 32}"
    )
    assert status == "400 Bad Request"
    assert told == {"detail": "A header of a part cannot be read."}


@pytest.mark.parametrize(
    "content_type", [f"{MULTIPART}; {SPLIT_AND_WHOLE}", f"{MULTIPART}; charset*=unheard-of''x"]
)
def test_a_content_type_that_cannot_be_read(content_type: str) -> None:
    status, told = ask("POST", "/entities", b"words", CONTENT_TYPE=content_type)
    assert status == "400 Bad Request"
    assert told == {"detail": "The Content-Type cannot be read."}


@pytest.mark.parametrize("charset", ["unicode_escape", "idna", "utf-16", "rot13", "unheard-of"])
def test_a_body_in_another_encoding(charset: str) -> None:
    status, told = ask(
        "POST",
        "/auth/token",
        b"username=a",
        CONTENT_TYPE=f"application/x-www-form-urlencoded; charset={charset}",
    )
    assert status == "400 Bad Request"
    assert told == {"detail": f"Send the body as UTF-8, not as {charset}."}


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "us-ascii"])
def test_a_body_in_plain_text(charset: str) -> None:
    content_type = f"application/x-www-form-urlencoded; charset={charset}"
    status, _told = ask("POST", "/entities", b"is_collection=true", CONTENT_TYPE=content_type)
    assert status == "401 Unauthorized"


def test_an_accept_that_cannot_be_read() -> None:
    status, told = ask("GET", "/", HTTP_ACCEPT=f"text/html; {SPLIT_AND_WHOLE}")
    assert status == "200 OK"
    assert told["status"] == "healthy"


@pytest.mark.parametrize("key", ["\\000abcdefghijk", "\\355\\240\\200abcdefgh", "a b c d e f g h"])
def test_a_session_of_odd_characters(key: str) -> None:
    """PostgreSQL cannot even look for the first one."""
    status, _told = ask("GET", "/entities", HTTP_COOKIE=f'sessionid="{key}"')
    assert status == "200 OK"

    request = RequestFactory(headers={"cookie": f'sessionid="{key}"; other=kept'}).get("/")
    seen = plain_session_keys(lambda request: HttpResponse(" ".join(request.COOKIES)))(request)
    assert seen.content == b"other"
