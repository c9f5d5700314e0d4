"""The web server around the application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from cheroot.wsgi import Server
from django.conf import settings

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

MULTIPART_OVERHEAD_BYTES = 1024 * 1024
PIECE_BYTES = 1024 * 1024
WAITING_CONNECTIONS = 512
"""Callers who connect at once wait for their turn; with the server's default of 5, others are cut off."""


def make_server(host: str, port: int, *, threads: int, grace: float) -> Server:
    """Not yet listening. A `port` of 0 lets the system choose."""
    from store_project.wsgi import application  # noqa: PLC0415  (after the migrations)

    server = Server((host, port), reading_past(application), numthreads=threads, server_name="store")
    server.max_request_body_size = settings.MAX_UPLOAD_BYTES + MULTIPART_OVERHEAD_BYTES
    server.request_queue_size = WAITING_CONNECTIONS
    server.shutdown_timeout = grace
    return server


def reading_past(application: Application) -> Application:
    """What the application leaves of a body is read past in pieces: the server would take it into memory at
    once, whatever its size, before it answers."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = application(environ, start_response)
        body = environ["wsgi.input"]
        while getattr(body, "remaining", 0) and body.read(PIECE_BYTES):
            pass
        return response

    return answer
