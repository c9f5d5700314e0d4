"""Files that are hashed and stored while they are received, so that none is ever whole in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopFutureHandlers
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParserError
from rest_framework.exceptions import ParseError

from entities.errors import UploadTooLargeError
from entities.storage import EntityStorageService, IncomingFile

FILE_FIELDS = ("media_file", "image")
"""Both names are spoken by clients; the first wins."""

FORM_BYTES = 4 * 1024 * 1024
"""What a request may hold beside its file."""
CHUNK_BYTES = 1024 * 1024
TAIL_BYTES = 1024


class ReceivedFile(UploadedFile):
    """An upload that lies, whole and synced, under a temporary name in the media folder."""

    def __init__(self, incoming: IncomingFile, **attributes: Any) -> None:
        super().__init__(size=incoming.size, **attributes)
        self.incoming = incoming

    def close(self) -> None:
        self.incoming.discard()


class WholeBody:
    """A request's body that is as long as was said: one that ends early is not taken for a short one."""

    def __init__(self, stream: IO[bytes], length: int) -> None:
        self._stream = stream
        self._left = length
        self.tail = b""
        """The last bytes that were read, long enough for a boundary."""

    def read(self, size: int | None = -1) -> bytes:
        """As many bytes as asked for, or all that are left."""
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        parts = []
        while wanted:
            parts.append(self._take(self._stream.read(wanted)))
            wanted -= len(parts[-1])
        return b"".join(parts)

    def readline(self, size: int | None = -1) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        return self._take(self._stream.readline(wanted)) if wanted else b""

    def _take(self, data: bytes) -> bytes:
        if not data:
            raise ParseError("The request ended before its body was complete; send it again.")
        self._left -= len(data)
        self.tail = (self.tail + data[-TAIL_BYTES:])[-TAIL_BYTES:]
        return data

    def close(self) -> None:
        """As files have it. The stream belongs to the web server."""


class IncomingUploadHandler(FileUploadHandler):
    """Takes the first file of each field that may hold one; all else is read past."""

    chunk_size = CHUNK_BYTES

    def __init__(self, request: HttpRequest, body: WholeBody, max_bytes: int) -> None:
        super().__init__(request)
        self._body = body
        self._boundary = b""
        self._max_bytes = max_bytes
        self._storage = EntityStorageService(Path(settings.MEDIA_ROOT), max_bytes=max_bytes)
        self._received: dict[str, IncomingFile] = {}
        self._incoming: IncomingFile | None = None

    def handle_raw_input(
        self,
        input_data: IO[bytes],
        META: dict[str, str],  # noqa: N803  (Django's call)
        content_length: int,
        boundary: Any,
        *_more: Any,
        **_options: Any,
    ) -> None:
        """Refuses by the stated length before anything is read."""
        self._boundary = boundary
        if content_length > self._max_bytes + FORM_BYTES:
            raise UploadTooLargeError(
                f"The request is larger than the limit for a file, {self._max_bytes} bytes."
            )

    def new_file(self, field_name: str, *arguments: Any, **options: Any) -> None:
        super().new_file(field_name, *arguments, **options)
        if field_name in FILE_FIELDS and field_name not in self._received:
            self._incoming = self._received[field_name] = self._storage.incoming()
        raise StopFutureHandlers

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        if self._incoming is not None:
            self._incoming.write(raw_data)

    def file_complete(self, file_size: int) -> ReceivedFile | None:
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            return None
        incoming.finish()
        return ReceivedFile(
            incoming, file=None, name=self.file_name, content_type=self.content_type, charset=self.charset
        )

    def upload_complete(self) -> None:
        """Django takes what comes before the end of the stream for whole, be it a file or a text."""
        if b"--" + self._boundary + b"--" not in self._body.tail:
            raise MultiPartParserError("The request was cut off: it does not end with its boundary.")

    def discard(self) -> None:
        """What nobody has put in place goes."""
        for incoming in self._received.values():
            incoming.discard()


@contextmanager
def receiving_uploads(request: HttpRequest, *, max_bytes: int | None = None) -> Iterator[None]:
    """Nothing is read or stored before a view asks for the request's data. A file may have as many bytes as
    the settings allow, unless a limit of its own is given.
    """
    body = WholeBody(request._stream, _stated_length(request))  # noqa: SLF001  (HttpRequest names it for subclasses)
    handler = IncomingUploadHandler(request, body, max_bytes or settings.MAX_UPLOAD_BYTES)
    request.upload_handlers = [handler]
    request._stream = cast("BinaryIO", body)  # noqa: SLF001
    try:
        yield
    finally:
        handler.discard()


def _stated_length(request: HttpRequest) -> int:
    """As Django reads it."""
    try:
        return max(0, int(request.META.get("CONTENT_LENGTH") or 0))
    except ValueError:
        return 0
