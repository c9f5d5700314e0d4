"""Files that are hashed and stored while they are received, so that none is ever whole in memory."""

from __future__ import annotations

from typing import IO, Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopFutureHandlers

from entities.storage import EntityStorageService, IncomingFile

FILE_FIELDS = ("media_file", "image")
"""Both names are spoken by clients; the first wins."""


class ReceivedFile(UploadedFile):
    """An upload that lies, whole and synced, under a temporary name in the media folder."""

    def __init__(self, incoming: IncomingFile, **attributes: Any) -> None:
        super().__init__(size=incoming.size, **attributes)
        self.incoming = incoming

    def close(self) -> None:
        """Called by Django when the request ends: what nobody has put in place goes."""
        self.incoming.discard()


class IncomingUploadHandler(FileUploadHandler):
    chunk_size = 1024 * 1024

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._incoming: IncomingFile | None = None

    def new_file(self, *arguments: Any, **options: Any) -> None:
        super().new_file(*arguments, **options)
        self._incoming = EntityStorageService.from_settings().incoming()
        raise StopFutureHandlers

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        assert self._incoming is not None
        try:
            self._incoming.write(raw_data)
        except BaseException:
            self._incoming.discard()
            raise

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
            self._incoming.discard()

    def handle_raw_input(self, input_data: IO[bytes], *arguments: Any, **options: Any) -> None:
        return None
