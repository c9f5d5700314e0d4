"""Files come in only where a view expects them, and names its own handlers: nowhere else, not even to a
temporary folder, whoever sends them.
"""

from __future__ import annotations

from typing import Any, Never

from django.core.exceptions import BadRequest
from django.core.files.uploadhandler import FileUploadHandler


class NoFilesHandler(FileUploadHandler):
    def new_file(self, *_arguments: Any, **_options: Any) -> Never:
        raise BadRequest("No file is expected here.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        return None

    def file_complete(self, file_size: int) -> None:
        return None
