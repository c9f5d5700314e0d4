"""Answers to requests that reach no view of the API: the same JSON as everywhere."""

from __future__ import annotations

from http import HTTPStatus

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, JsonResponse
from django.http.multipartparser import MultiPartParserError


def bad_request(_request: HttpRequest, exception: Exception) -> JsonResponse:
    if isinstance(exception, RequestDataTooBig):
        return _answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if isinstance(exception, MultiPartParserError):
        return _answer(HTTPStatus.BAD_REQUEST, str(exception))
    return _answer(HTTPStatus.BAD_REQUEST)


def forbidden(_request: HttpRequest, exception: Exception) -> JsonResponse:
    return _answer(HTTPStatus.FORBIDDEN, str(exception))


def csrf_failed(_request: HttpRequest, reason: str = "") -> JsonResponse:
    return _answer(HTTPStatus.FORBIDDEN, f"CSRF Failed: {reason}")


def unknown_path(_request: HttpRequest, exception: Exception) -> JsonResponse:  # noqa: ARG001 (Django's call)
    return _answer(HTTPStatus.NOT_FOUND)


def crashed(_request: HttpRequest) -> JsonResponse:
    return _answer(HTTPStatus.INTERNAL_SERVER_ERROR)


def _answer(status: HTTPStatus, detail: str = "") -> JsonResponse:
    return JsonResponse({"detail": detail or status.phrase}, status=status)
