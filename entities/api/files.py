"""Serving a stored file: ranges, validators, and headers that keep a browser from running what it holds."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
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
    """An open file, of which a part is sent; it stays whole for the reader though its name may be removed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        stat = os.fstat(file.fileno())
        self.size, self.modified = stat.st_size, stat.st_mtime
        self.part = ByteRange(0, self.size)

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(self.part.start)
        left = self.part.stop - self.part.start
        while left > 0 and (chunk := self._file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk

    def close(self) -> None:
        """Called when the response ends, whether it was sent or not."""
        self._file.close()

    def __del__(self) -> None:
        """Of a response that nobody took."""
        self.close()


def file_response(
    request: HttpRequest, path: Path, *, mime_type: str | None, name: str, etag: str
) -> HttpResponseBase:
    """Raises FileNotFoundError. While an ETag stands, the bytes are the same."""
    file = FilePart(path.open("rb"))
    response = _respond(
        request,
        file,
        f'"{etag}"',
        {
            "Content-Type": mime_type or "application/octet-stream",
            "Content-Disposition": f'attachment; filename="{name}"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
            "X-Content-Type-Options": "nosniff",
            "Accept-Ranges": "bytes",
            "ETag": f'"{etag}"',
            "Last-Modified": http_date(file.modified),
            "Cache-Control": "private, max-age=3600",
        },
    )
    if not response.streaming:
        file.close()
    return response


def _respond(request: HttpRequest, file: FilePart, etag: str, headers: dict[str, str]) -> HttpResponseBase:
    conditional = get_conditional_response(request, etag=etag, last_modified=int(file.modified))
    if conditional is not None:
        return conditional
    status = HTTPStatus.OK
    if wanted := _wanted_range(request, file.size, etag):
        if wanted.start >= wanted.stop:
            return HttpResponse(status=416, headers={"Content-Range": f"bytes */{file.size}"})
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
