"""Files that are hashed and stored while they are received, so that none is ever whole in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
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


class ReceivedFile(UploadedFile):
    """An upload that lies, whole and synced, under a temporary name in the media folder."""

    def __init__(self, incoming: IncomingFile, **attributes: Any) -> None:
        super().__init__(size=incoming.size, **attributes)
        self.incoming = incoming

    def close(self) -> None:
        self.incoming.discard()


class IncomingUploadHandler(FileUploadHandler):
    """Takes the first file of each field that may hold one; all else is read past."""

    chunk_size = CHUNK_BYTES

    def __init__(self, request: HttpRequest | None = None) -> None:
        super().__init__(request)
        self._storage = EntityStorageService.from_settings()
        self._received: dict[str, IncomingFile] = {}
        self._incoming: IncomingFile | None = None

    def handle_raw_input(
        self,
        input_data: IO[bytes],
        META: dict[str, str],  # noqa: N803  (Django's call)
        content_length: int,
        *_more: Any,
        **_options: Any,
    ) -> None:
        """Refuses by the stated length before anything is read."""
        if content_length > settings.MAX_UPLOAD_BYTES + FORM_BYTES:
            raise UploadTooLargeError(
                f"The request is larger than the limit for a file, {settings.MAX_UPLOAD_BYTES} bytes."
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

    def upload_interrupted(self) -> None:
        if self._incoming is not None:
            raise MultiPartParserError("The file is not followed by the boundary; the request was cut off.")

    def discard(self) -> None:
        """What nobody has put in place goes."""
        for incoming in self._received.values():
            incoming.discard()


class WholeBody:
    """A request's body that is as long as was said: one that ends early is not taken for a short one."""

    def __init__(self, stream: IO[bytes], length: int) -> None:
        self._stream = stream
        self._left = length

    def read(self, size: int | None = -1) -> bytes:
        """All that is left, or at most `size` bytes; nothing only at the end."""
        if size is None or size < 0:
            return b"".join(iter(partial(self.read, CHUNK_BYTES), b""))
        return self._take(self._stream.read, size)

    def readline(self, size: int | None = -1) -> bytes:
        return self._take(self._stream.readline, self._left if size is None or size < 0 else size)

    def _take(self, read: Callable[[int], bytes], size: int) -> bytes:
        data = read(min(size, self._left))
        if size and self._left and not data:
            raise ParseError("The request ended before its body was complete; send it again.")
        self._left -= len(data)
        return data

    def drain(self) -> None:
        """The web server would read what is left at once, whatever its size, before it answers."""
        while self._left and (data := self._stream.read(min(CHUNK_BYTES, self._left))):
            self._left -= len(data)

    def close(self) -> None:
        """As files have it. The stream belongs to the web server."""


@contextmanager
def receiving_uploads(request: HttpRequest) -> Iterator[None]:
    """Nothing is read or stored before a view asks for the request's data."""
    handler = IncomingUploadHandler(request)
    request.upload_handlers = [handler]
    body = WholeBody(request._stream, _stated_length(request))  # noqa: SLF001  (HttpRequest names it for subclasses)
    request._stream = cast("BinaryIO", body)  # noqa: SLF001
    try:
        yield
    finally:
        handler.discard()
        body.drain()


def _stated_length(request: HttpRequest) -> int:
    stated = request.META.get("CONTENT_LENGTH") or "0"
    return int(stated) if stated.isdecimal() else 0
