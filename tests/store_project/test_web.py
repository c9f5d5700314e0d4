"""The web server around the application: bodies that nobody wants are not held in memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from cheroot.server import KnownLengthRFile

from store_project import web
from tests.http import Callers, serving_here

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.allow_hosts(["127.0.0.1"])]

LARGE = 8 * 1024 * 1024
PATHS = ("/entities", "/entities/1", "/auth/token", "/known-persons/1", "/admin/pref", "/", "/nowhere")
CONTENT_TYPES = (
    "application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/x-www-form-urlencoded; charset=utf-16",
    "image/jpeg",
)


@pytest.fixture
def callers(media_root: Path) -> Iterator[Callers]:
    with serving_here(threads=2) as callers:
        yield callers


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much of a body was taken at a time."""
    taken: list[int] = []
    read = KnownLengthRFile.read

    def watched(body: Any, size: int | None = None) -> bytes:
        data: bytes = read(body, size)
        taken.append(len(data))
        return data

    monkeypatch.setattr(KnownLengthRFile, "read", watched)
    return taken


@pytest.mark.parametrize("is_known", [True, False])
def test_a_large_body_that_is_refused(
    callers: Callers,
    settings: Any,
    pieces: list[int],
    is_known: bool,  # noqa: FBT001
) -> None:
    """Whoever sends it, wherever, as whatever: it is taken in pieces, and the connection stays usable."""
    settings.AUTH_DISABLED = is_known
    for path, content_type, method in product(PATHS, CONTENT_TYPES, ("POST", "PATCH")):
        pieces.clear()
        headers = {"Content-Type": content_type}
        answer = callers.http.request(method, path, content=b'"' * LARGE, headers=headers)
        assert 400 <= answer.status_code < 500, (method, path, content_type)
        assert sum(pieces) == LARGE
        assert max(pieces) <= web.PIECE_BYTES, (method, path, content_type)
