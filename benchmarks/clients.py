"""Clients in processes of their own, so that measuring takes no time from the server's interpreter."""

from __future__ import annotations

import http.client
import multiprocessing
import random
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from multiprocessing.synchronize import Barrier
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.photos import write_photos

TIMEOUT_SECONDS = 120
CHUNK_BYTES = 1024 * 1024
BOUNDARY = "a-line-between-the-parts-of-a-form"
FORM_HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


class UnexpectedAnswerError(RuntimeError):
    """A request failed, so that its time means nothing."""


@dataclass(frozen=True)
class Call:
    """A GET of the path, or a POST of the file to it."""

    path: str
    file: Path | None = None


@dataclass(frozen=True)
class Load:
    """What one or more clients saw. `start` and `end` are of a clock that all processes share."""

    start: float
    end: float
    seconds: list[float]

    @classmethod
    def merged(cls, loads: Sequence[Self]) -> Self:
        seconds = [each for load in loads for each in load.seconds]
        return cls(min(load.start for load in loads), max(load.end for load in loads), seconds)


class Clients:
    """Started once; each has its own connection for the length of a measurement."""

    def __init__(self, number: int) -> None:
        self._number = number
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(number)
        self._pool = ProcessPoolExecutor(number, context, initializer=_begin, initargs=(barrier,))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def alone(self, port: int, calls: Sequence[Call]) -> Load:
        """One client makes all the calls."""
        return self._pool.submit(_make, port, calls, together=False).result()

    def together(self, port: int, calls: Sequence[Call]) -> Load:
        """All clients share the calls and begin at the same time."""
        shares = [calls[index :: self._number] for index in range(self._number)]
        futures = [self._pool.submit(_make, port, share, together=True) for share in shares]
        return Load.merged([future.result() for future in futures])

    def write_photos(self, folder: Path, number: int) -> list[Path]:
        folder.mkdir()
        spans = [range(first, min(first + 10, number)) for first in range(0, number, 10)]
        futures = [self._pool.submit(write_photos, folder, span) for span in spans]
        return [path for future in futures for path in future.result()]

    def stream(self, port: int, path: str, *, size: int) -> None:
        """Uploads one file of `size` bytes that is never whole anywhere."""
        self._pool.submit(_stream, port, path, size).result()


_barrier: Barrier


def _begin(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603  (how a pool hands its workers what cannot be pickled)
    _barrier = barrier
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that measures stops everything


def _make(port: int, calls: Sequence[Call], *, together: bool) -> Load:
    bodies = [_form(call.file.name, call.file.read_bytes()) if call.file else None for call in calls]
    connection = _connection(port)
    seconds = []
    if together:
        _barrier.wait(TIMEOUT_SECONDS)
    start = began = time.monotonic()
    for call, body in zip(calls, bodies, strict=True):
        _request(connection, call.path, body)
        ended = time.monotonic()
        seconds.append(ended - began)
        began = ended
    connection.close()
    return Load(start, began, seconds)


def _request(connection: http.client.HTTPConnection, path: str, body: bytes | None) -> None:
    if body is None:
        connection.request("GET", path)
    else:
        connection.request("POST", path, body, FORM_HEADERS)
    _read(connection, path)


def _stream(port: int, path: str, size: int) -> None:
    before, after = _form_ends("large.bin")
    length = len(before) + size + len(after)
    connection = _connection(port)
    body = _large_form(before, size, after)
    connection.request("POST", path, body, {**FORM_HEADERS, "Content-Length": str(length)})
    _read(connection, path)
    connection.close()


def _large_form(before: bytes, size: int, after: bytes) -> Iterator[bytes]:
    chunk = random.Random(0).randbytes(CHUNK_BYTES)
    yield before
    for start in range(0, size, CHUNK_BYTES):
        yield chunk[: size - start]
    yield after


def _connection(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)


def _read(connection: http.client.HTTPConnection, path: str) -> None:
    response = connection.getresponse()
    body = response.read()
    if response.status not in {HTTPStatus.OK, HTTPStatus.CREATED}:
        raise UnexpectedAnswerError(f"{path}: {response.status} {body[:500]!r}")


def _form(name: str, content: bytes) -> bytes:
    before, after = _form_ends(name)
    return before + content + after


def _form_ends(name: str) -> tuple[bytes, bytes]:
    """What comes before and after the file."""
    disposition = "Content-Disposition: form-data; name"
    lines = [
        *(f"--{BOUNDARY}", f'{disposition}="is_collection"', "", "false"),
        *(f"--{BOUNDARY}", f'{disposition}="label"', "", name),
        *(f"--{BOUNDARY}", f'{disposition}="media_file"; filename="{name}"'),
        *("Content-Type: application/octet-stream", "", ""),
    ]
    return "\r\n".join(lines).encode(), f"\r\n--{BOUNDARY}--\r\n".encode()
