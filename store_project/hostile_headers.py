"""Headers that Django would stumble over. They come before any view, so they are answered here."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.utils.http import parse_header_parameters

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
UNDERSTOOD = frozenset({"utf-8", "ascii"})


def readable_bodies(application: Application) -> Application:
    """Answers 400 to a Content-Type that cannot be parsed, and to a body in another encoding than UTF-8.

    A body is decoded with any codec that it names: some make surrogates, which nothing can store.
    """

    def checked(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        fault = _fault_of(environ.get("CONTENT_TYPE", ""))
        if not fault:
            return application(environ, start_response)
        start_response("400 Bad Request", [("Content-Type", "application/json")])
        return [json.dumps({"detail": fault}).encode()]

    return checked


def _fault_of(content_type: str) -> str:
    try:
        charset = parse_header_parameters(content_type)[1].get("charset")
    except (TypeError, ValueError):
        return "The Content-Type cannot be read."
    return "" if charset is None or _is_understood(charset) else f"Send the body as UTF-8, not as {charset}."


def _is_understood(charset: str) -> bool:
    try:
        return codecs.lookup(charset).name in UNDERSTOOD
    except LookupError:
        return False


class ReadableRequest(WSGIRequest):
    """For the forms of Django itself; those of the API have a parser of their own."""

    def parse_file_upload(self, META: Any, post_data: Any) -> Any:  # noqa: N803  (Django's call)
        try:
            return super().parse_file_upload(META, post_data)
        except TypeError as error:  # Python's own reading of headers, by a parameter both split and whole
            raise MultiPartParserError("A header of a part cannot be read.") from error


class ReadableHandler(WSGIHandler):
    request_class = ReadableRequest


def plain_session_keys(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """A cookie can spell what PostgreSQL does not take; a session's key has only letters and digits."""

    def checked(request: HttpRequest) -> HttpResponse:
        key = request.COOKIES.get(settings.SESSION_COOKIE_NAME, "")
        if not (key.isascii() and key.isalnum()):
            request.COOKIES.pop(settings.SESSION_COOKIE_NAME, None)
        return get_response(request)

    return checked
