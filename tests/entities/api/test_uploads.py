"""Bodies that are large, cut off, hostile or unasked for: nothing of them is stored, nothing stays behind."""

from __future__ import annotations

import io
import resource
import socket
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from rest_framework.test import APIClient

from entities.models import Entity
from entities.storage import EntityStorageService, IncomingFile
from tests.entities.api.client import URLENCODED, Api, media_files, upload
from tests.factories import jpeg

pytestmark = pytest.mark.django_db

CONTENT = jpeg(1)


def form(**fields: Any) -> bytes:
    body: bytes = encode_multipart(BOUNDARY, fields)
    return body


def post(
    client: Any,
    body: bytes,
    *,
    stated: int | None = None,
    source: io.BytesIO | None = None,
    content_type: str = MULTIPART_CONTENT,
) -> Any:
    """With a stated length of its own."""
    length = str(len(body) if stated is None else stated)
    environ = {"wsgi.input": source or io.BytesIO(body), "CONTENT_LENGTH": length}
    return client.generic("POST", "/entities", b"", content_type, **environ)


@pytest.fixture(autouse=True)
def nothing_stays_behind() -> Iterator[None]:
    yield
    assert media_files("incoming") == []


def test_it_works(api: Api) -> None:
    answer = post(api.client, form(is_collection="false", label="x", media_file=upload(CONTENT)))
    assert answer.status_code == 201
    assert media_files() == [answer.json()["file_path"]]


# --- Too large --------------------------------------------------------------------------------------------


def test_a_file_over_the_limit(api: Api, settings: Any) -> None:
    settings.MAX_UPLOAD_BYTES = 1000
    body = form(is_collection="false", media_file=upload(b"x" * 1001))
    answer = post(api.client, body)
    assert answer.status_code == 413
    assert "1000 bytes" in answer.json()["detail"]
    assert media_files() == []


def test_a_file_of_the_limit(api: Api, settings: Any) -> None:
    settings.MAX_UPLOAD_BYTES = 1000
    assert post(api.client, form(is_collection="false", media_file=upload(b"x" * 1000))).status_code == 201


def test_a_request_that_says_it_is_too_large_is_not_received(
    api: Api, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MAX_UPLOAD_BYTES = 1000
    _refuse_to_store(monkeypatch)
    answer = post(api.client, form(media_file=upload(CONTENT)), stated=10**12)
    assert answer.status_code == 413
    assert "1000 bytes" in answer.json()["detail"]


def test_texts_over_the_limit(api: Api, settings: Any) -> None:
    large = "x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    multipart = form(is_collection="true", description=large)
    assert post(api.client, multipart).status_code == 413
    with_file = form(is_collection="false", media_file=upload(CONTENT), description=large)
    assert post(api.client, with_file).status_code == 413
    urlencoded = api.client.post("/entities", f"description={large}", content_type=URLENCODED)
    assert urlencoded.status_code == 413
    assert "detail" in urlencoded.json()
    assert not Entity.objects.exists()


def test_too_many_parts(api: Api) -> None:
    files = [(f"file{number}", upload(b"x")) for number in range(101)]
    fields = [(f"field{number}", "x") for number in range(1001)]
    for parts in (files, fields):
        answer = post(api.client, form(is_collection="false", media_file=upload(CONTENT), **dict(parts)))
        assert answer.status_code == 400
        assert "detail" in answer.json()
    assert not Entity.objects.exists()


def test_only_the_first_file_of_each_field_is_received(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[IncomingFile] = []
    receive = EntityStorageService.incoming

    def count(storage: EntityStorageService) -> IncomingFile:
        received.append(receive(storage))
        return received[-1]

    monkeypatch.setattr(EntityStorageService, "incoming", count)
    several = [upload(CONTENT), *(upload(jpeg(number)) for number in range(2, 20))]
    answer = post(api.client, form(is_collection="false", other=upload(b"x"), media_file=several))
    assert (answer.status_code, len(received)) == (201, 1)
    assert media_files() == [answer.json()["file_path"]]
    assert answer.json()["md5"] == Entity.objects.get().md5


# --- No room ----------------------------------------------------------------------------------------------


@pytest.fixture
def _small_disk() -> Iterator[None]:
    """The system refuses to let any file grow beyond this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("_small_disk")
def test_a_full_disk(api: Api) -> None:
    answer = post(api.client, form(is_collection="false", media_file=upload(b"x" * 200_000)))
    assert answer.status_code == 507
    assert "disk is full" in answer.json()["detail"]
    assert media_files() == []


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a database that can be told to be full")
def test_a_full_database(api: Api) -> None:
    with connection.cursor() as cursor:
        pages = cursor.execute("PRAGMA page_count").fetchone()[0]
        cursor.execute(f"PRAGMA max_page_count = {pages + 2}")
        answer = post(
            api.client, form(is_collection="false", description="x" * 1_000_000, media_file=upload(CONTENT))
        )
        cursor.execute("PRAGMA max_page_count = 1000000")
    assert answer.status_code == 507
    assert "disk is full" in answer.json()["detail"]
    assert media_files() == []


# --- Cut off ----------------------------------------------------------------------------------------------


def _cuts(body: bytes) -> list[int]:
    """Everywhere around each part's border, and here and there between."""
    borders = [position for position in range(len(body)) if body.startswith(BOUNDARY.encode(), position)]
    near = {cut for border in borders for cut in range(border - 6, border + len(BOUNDARY) + 4)}
    return sorted(cut for cut in near | set(range(0, len(body), 101)) if 0 <= cut < len(body) - 2)


@pytest.mark.parametrize("order", [["media_file", "label"], ["label", "media_file"]])
@pytest.mark.parametrize("hung_up", [False, True])
def test_a_body_that_is_cut_off(api: Api, order: list[str], hung_up: bool) -> None:  # noqa: FBT001  (a case)
    """By a caller who hung up, so that there is less than was said, or who says less than a whole body."""
    fields: dict[str, Any] = {"media_file": upload(CONTENT), "label": "a long label"}
    body = form(is_collection="false", **{name: fields[name] for name in order})
    for cut in _cuts(body):
        fields["media_file"].seek(0)
        answer = post(api.client, body[:cut], stated=len(body) if hung_up else None)
        assert answer.status_code in {400, 422}, cut
        assert media_files() == []
    assert not Entity.objects.exists()


def test_a_form_that_is_cut_off(api: Api) -> None:
    body = b"is_collection=true&label=a+long+label"
    answer = post(api.client, body, stated=60, content_type=URLENCODED)
    assert answer.status_code == 400
    assert not Entity.objects.exists()


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=other"],
)
def test_a_form_without_its_boundary(api: Api, content_type: str) -> None:
    body = form(is_collection="false", media_file=upload(CONTENT))
    answer = post(api.client, body, content_type=content_type)
    assert answer.status_code == 400
    assert "detail" in answer.json()


@pytest.mark.django_db(transaction=True)
@pytest.mark.allow_hosts(["127.0.0.1", "localhost"])
def test_a_caller_who_hangs_up(live_server: Any, settings: Any, media_root: Path) -> None:
    settings.AUTH_DISABLED = True
    body = form(is_collection="false", media_file=upload(b"x" * 5_000_000))
    address = urlsplit(live_server.url)
    with socket.create_connection((address.hostname, address.port)) as caller:
        head = (
            "POST /entities HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: {MULTIPART_CONTENT}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        caller.sendall(head.encode() + body[:3_000_000])
        _wait_for(lambda: media_files("incoming") != [])
    _wait_for(lambda: media_files("incoming") == [])
    assert not Entity.objects.exists()
    assert media_files() == []
    assert _is_alive(live_server.url)


def _wait_for(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_alive(url: str) -> bool:
    address = urlsplit(url)
    caller = HTTPConnection(address.hostname or "", address.port, timeout=20)
    caller.request("GET", "/")
    alive = caller.getresponse().status == 200
    caller.close()
    return alive


# --- Unasked for ------------------------------------------------------------------------------------------


def _refuse_to_store(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_storage: EntityStorageService) -> None:
        pytest.fail("a file was received")

    monkeypatch.setattr(EntityStorageService, "incoming", refuse)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize("authorization", ["", "Bearer broken"])
def test_nothing_is_received_of_a_caller_who_may_not_write(
    method: str, authorization: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refuse_to_store(monkeypatch)
    body = form(is_collection="false", media_file=SimpleUploadedFile("x", b"x" * 5_000_000))
    path = "/entities" if method == "POST" else "/entities/1"
    client: Any = APIClient(HTTP_AUTHORIZATION=authorization)
    answer = client.generic(method, path, body, MULTIPART_CONTENT)
    assert answer.status_code == 401


@pytest.fixture
def browser() -> APIClient:
    """Of a user who has logged in; the form's own token is looked for in the body."""
    user = get_user_model().objects.create_user("somebody")
    user.user_permissions.add(Permission.objects.get(codename="media_store_write"))
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user)
    client.cookies["csrftoken"] = "a" * 32
    return client


def test_a_form_of_a_browser(browser: APIClient) -> None:
    fields = {"is_collection": "false", "csrfmiddlewaretoken": "a" * 32}
    answer = post(browser, form(**fields, media_file=upload(CONTENT)))
    assert answer.status_code == 201
    assert media_files() == [answer.json()["file_path"]]


@pytest.mark.parametrize("fault", ["no token", "no permission", "cut off", "too large"])
def test_a_form_of_a_browser_that_is_refused(browser: APIClient, settings: Any, fault: str) -> None:
    token = {} if fault == "no token" else {"csrfmiddlewaretoken": "a" * 32}
    if fault == "no permission":
        get_user_model().objects.get().user_permissions.clear()
    if fault == "too large":
        settings.MAX_UPLOAD_BYTES = 100
    body = form(is_collection="false", media_file=upload(CONTENT), **token)
    answer = post(browser, body[:-40] if fault == "cut off" else body, stated=len(body))
    assert answer.status_code == {"cut off": 400, "too large": 413}.get(fault, 403)
    assert media_files() == []
    assert not Entity.objects.exists()
