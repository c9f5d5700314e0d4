"""Serving a stored file: ranges, validators, and headers that keep a browser from running what it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import http_date

CHUNK_BYTES = 256 * 1024
_ONE_RANGE = re.compile(r"bytes=(\d*)-(\d*)$")


@dataclass(frozen=True)
class ByteRange:
    start: int
    stop: int  # exclusive

    def header(self, size: int) -> str:
        return f"bytes {self.start}-{self.stop - 1}/{size}"


def file_response(
    request: HttpRequest, path: Path, *, mime_type: str | None, name: str, etag: str
) -> HttpResponseBase:
    """The content is named by its hash, so a URL's bytes never change while its ETag stands."""
    stat = path.stat()
    quoted = f'"{etag}"'
    conditional = get_conditional_response(request, etag=quoted, last_modified=int(stat.st_mtime))
    if conditional is not None:
        return conditional
    wanted = _wanted_range(request, stat.st_size, quoted)
    if wanted is not None and wanted.start >= wanted.stop:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{stat.st_size}"})
    part = wanted or ByteRange(0, stat.st_size)
    headers = {
        "Content-Type": mime_type or "application/octet-stream",
        "Content-Length": str(part.stop - part.start),
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Accept-Ranges": "bytes",
        "ETag": quoted,
        "Last-Modified": http_date(stat.st_mtime),
        "Cache-Control": "private, max-age=3600",
    }
    if wanted is not None:
        headers["Content-Range"] = wanted.header(stat.st_size)
    return StreamingHttpResponse(_read(path, part), status=200 if wanted is None else 206, headers=headers)


def _wanted_range(request: HttpRequest, size: int, etag: str) -> ByteRange | None:
    """None for the whole; several ranges, or a validator that no longer fits, also get the whole."""
    match = _ONE_RANGE.match(request.headers.get("Range", ""))
    if match is None or request.headers.get("If-Range", etag) != etag:
        return None
    first, last = match.groups()
    if first:
        return ByteRange(int(first), min(int(last) + 1 if last else size, size))
    if last:
        return ByteRange(max(0, size - int(last)), size)
    return None


def _read(path: Path, part: ByteRange) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(part.start)
        left = part.stop - part.start
        while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
