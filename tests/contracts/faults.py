"""How a compute service can misbehave, for `ComputeService.misbehave`."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

from tests.contracts.compute_service import Fault, Handler


def says(status: int, fields: Any = None, **headers: str) -> Fault:
    """Headers as keywords, `_` for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(handler: Handler) -> None:
        handler.body()
        handler.answer(status, fields if fields is not None else {"detail": "at fault"}, named)

    return fault


def sends(body: bytes, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(handler: Handler) -> None:
        handler.body()
        handler.send(200, body, named)

    return fault


def hangs_up(handler: Handler) -> None:
    """A reset, not a goodbye; the upload is not read."""
    handler.rfile.read(min(1, int(handler.headers.get("Content-Length") or 0)))
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def cut_short(handler: Handler) -> None:
    handler.close_connection = True
    handler.send(200, b'{"job_', {"Content-Length": "2000"})


def claims_ten_gigabytes(handler: Handler) -> None:
    handler.close_connection = True
    handler.send(200, b"\x93NUMPY", {"Content-Length": str(10 * 1024**3)})


def never_ends(handler: Handler) -> None:
    """In chunks, as fast as they are taken."""
    handler.close_connection = True
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")


def trickles(handler: Handler) -> None:
    """A byte now and then."""
    handler.close_connection = True
    handler.send(200, b"", {"Content-Length": "2000"})
    for _ in range(2000):
        handler.wfile.write(b" ")
        time.sleep(0.02)


def silent(handler: Handler) -> None:
    """Until the other side gives up."""
    handler.body()
    handler.rfile.read(1)
    handler.close_connection = True
