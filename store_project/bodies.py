"""How much of a request is taken in. Uploads are streamed by the views that want them; the rest is small."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Never

from django.conf import settings
from django.core.exceptions import BadRequest
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, HttpResponseBase, JsonResponse

GetResponse = Callable[[HttpRequest], HttpResponseBase]


def refuse_large_bodies(get_response: GetResponse) -> GetResponse:
    """Parsers of forms and JSON read a whole body into memory, before anybody has asked who sent it."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        length = request.META.get("CONTENT_LENGTH") or "0"
        is_large = length.isdecimal() and int(length) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        if is_large and request.content_type != "multipart/form-data":
            return JsonResponse(
                {"detail": f"At most {settings.DATA_UPLOAD_MAX_MEMORY_SIZE} bytes; send files as multipart."},
                status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        return get_response(request)

    return middleware


class NoFilesHandler(FileUploadHandler):
    def new_file(self, *_arguments: Any, **_options: Any) -> Never:
        raise BadRequest("No file is expected here.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        return None

    def file_complete(self, file_size: int) -> None:
        return None
