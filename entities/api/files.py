"""Serving a stored file: ranges, validators, and headers that keep a browser from running what it holds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.utils.cache import get_conditional_response
from django.utils.http import http_date

CHUNK_BYTES = 256 * 1024
_ONE_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@dataclass(frozen=True)
class ByteRange:
    start: int
    stop: int  # exclusive

    def header(self, size: int) -> str:
        return f"bytes {self.start}-{self.stop - 1}/{size}"


class FilePart:
    """An open file, of which a part is sent: all of it, though its name may be removed meanwhile."""

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = None
        self._descriptor = os.open(path, os.O_RDONLY)
        stat = os.fstat(self._descriptor)
        self.size, self.modified = stat.st_size, stat.st_mtime
        self.part = ByteRange(0, self.size)

    def __iter__(self) -> Iterator[bytes]:
        position = self.part.start
        while self._descriptor is not None and position < self.part.stop:
            chunk = os.pread(self._descriptor, min(CHUNK_BYTES, self.part.stop - position), position)
            if not chunk:
                return
            position += len(chunk)
            yield chunk

    def close(self) -> None:
        """Called when the response ends, whether it was sent or not."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        """Of a response that nobody took."""
        self.close()


def file_response(
    request: HttpRequest, path: Path, *, mime_type: str | None, name: str, etag: str
) -> HttpResponseBase:
    """Raises FileNotFoundError. While an ETag stands, the bytes are the same."""
    file = FilePart(path)
    quoted = f'"{etag}"'
    response = _respond(
        request,
        file,
        quoted,
        {
            "Content-Type": mime_type or "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "Accept-Ranges": "bytes",
            "ETag": quoted,
            "Last-Modified": http_date(file.modified),
            "Cache-Control": "private, max-age=3600",
        },
    )
    answer = get_conditional_response(
        request, etag=quoted, last_modified=int(file.modified), response=response
    )
    assert answer is not None  # `response`, where no condition is against it
    if not answer.streaming:
        file.close()
    return answer


def _respond(request: HttpRequest, file: FilePart, etag: str, headers: dict[str, str]) -> Any:
    status = HTTPStatus.OK
    if wanted := _wanted_range(request, file.size, etag):
        if wanted.start >= wanted.stop:
            detail = f"The range begins past the end: there are {file.size} bytes."
            return JsonResponse(
                {"detail": detail}, status=416, headers={"Content-Range": f"bytes */{file.size}"}
            )
        file.part, status = wanted, HTTPStatus.PARTIAL_CONTENT
        headers["Content-Range"] = wanted.header(file.size)
    headers["Content-Length"] = str(file.part.stop - file.part.start)
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    return StreamingHttpResponse(file, status=status, headers=headers)


def _wanted_range(request: HttpRequest, size: int, etag: str) -> ByteRange | None:
    """None for the whole; several ranges, or a validator that no longer fits, also get the whole."""
    match = _ONE_RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or request.headers.get("If-Range", etag) != etag:
        return None
    first, last = match.groups()
    if first:
        return ByteRange(int(first), min(int(last) + 1 if last else size, size))
    if last:
        return ByteRange(max(0, size - int(last)), size)
    return None
