"""The server engine against a server that listens: key, timeout and repeated attempts, as they travel."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.conftest import points
from vectors import VectorSettings, VectorStoreError, VectorsUnavailableError
from vectors.engines import server
from vectors.engines.server import ATTEMPTS, ServerEngine

pytestmark = [
    pytest.mark.allow_hosts(["127.0.0.1"]),
    pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection"),
]

KEY = "sesame"
WELL = b'{"result": {"collections": [{"name": "a"}]}, "status": "ok", "time": 0.0}'
Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """Asks for the key; goes wrong as often as it is told to, and then no more."""

    url: str = ""
    faults: list[Answer] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(f"{handler.command} {handler.path}")
        handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        if handler.headers.get("api-key") != KEY:
            says(HTTPStatus.FORBIDDEN)(handler)
        elif self.faults:
            self.faults.pop(0)(handler)
        else:
            says(HTTPStatus.OK, WELL)(handler)

    def engine(self, *, api_key: str = KEY, timeout_seconds: float = 5) -> ServerEngine:
        return ServerEngine.create(
            VectorSettings(
                path=Path("nowhere"), url=self.url, api_key=api_key, timeout_seconds=timeout_seconds
            )
        )


def says(status: HTTPStatus, body: bytes = b"{}", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {**headers, "Content-Type": "application/json"}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def hangs_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def silent(handler: BaseHTTPRequestHandler) -> None:
    """Until the other side gives up."""
    handler.rfile.read(1)
    handler.close_connection = True


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(server, "FIRST_PAUSE_SECONDS", 0)
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            told.answer(self)

        do_PUT = do_GET  # noqa: N815  (the base class asks for this name)

        def log_message(self, *_message: Any) -> None:
            """Nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
        thread.start()
        told.url = f"http://127.0.0.1:{listening.server_port}"
        yield told
        listening.shutdown()
        thread.join()


def test_the_key_lets_us_in(http: Server) -> None:
    assert list(http.engine().collections()) == ["a"]
    for wrong in ("", "mellon"):
        http.requests.clear()
        with pytest.raises(VectorStoreError, match="refused") as raised:
            http.engine(api_key=wrong).collections()
        assert (raised.type, len(http.requests)) == (VectorStoreError, 1)


@pytest.mark.parametrize(
    "fault",
    [
        hangs_up,
        says(HTTPStatus.SERVICE_UNAVAILABLE),
        says(HTTPStatus.TOO_MANY_REQUESTS, Retry_After="1"),
        says(HTTPStatus.INTERNAL_SERVER_ERROR),
    ],
    ids=["hangs up", "503", "429", "500"],
)
def test_what_passes_is_tried_again_and_what_stays_is_told(http: Server, fault: Answer) -> None:
    http.faults = [fault] * (ATTEMPTS - 1)
    assert list(http.engine().collections()) == ["a"]
    assert http.requests == ["GET /collections"] * ATTEMPTS

    http.requests.clear()
    http.faults = [fault] * ATTEMPTS
    with pytest.raises(VectorsUnavailableError, match="does not answer"):
        http.engine().upsert("a", points([1]))
    assert http.requests == ["PUT /collections/a/points?wait=true"] * ATTEMPTS


def test_a_silent_server_is_waited_for_as_long_as_it_says(http: Server) -> None:
    http.faults = [silent] * ATTEMPTS
    began = time.monotonic()
    with pytest.raises(VectorsUnavailableError):
        http.engine(timeout_seconds=1).collections()
    assert ATTEMPTS <= time.monotonic() - began < ATTEMPTS + 2
    assert len(http.requests) == ATTEMPTS


@pytest.mark.usefixtures("http")
def test_nobody_listens() -> None:
    nobody = Server(url="http://127.0.0.1:1").engine()
    with pytest.raises(VectorsUnavailableError, match="does not answer"):
        nobody.collections()
