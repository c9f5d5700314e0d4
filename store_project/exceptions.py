"""The one place that turns an exception into an answer: a JSON object with `detail`.

A fault of a field is told as a list of {type, loc, msg, input}, everything else as a text.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, UnreadablePostError
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import exception_handler

from entities import errors
from entities.api.validation import InvalidRequestError
from entities.metadata import MetadataError
from intelligence import people
from intelligence.encoding import CannotEncodeError, UnusablePictureError
from store_project.keys import OutsideKeyError, UnusableKeyError
from vectors import VectorStoreError

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 5.0
STATUS_OF = {
    errors.UploadTooLargeError: status.HTTP_413_REQUEST_ENTITY_TOO_LARGE,
    errors.QuotaExceededError: status.HTTP_429_TOO_MANY_REQUESTS,
    errors.StorageFullError: status.HTTP_507_INSUFFICIENT_STORAGE,
    errors.EntityError: status.HTTP_422_UNPROCESSABLE_ENTITY,
    MetadataError: status.HTTP_422_UNPROCESSABLE_ENTITY,
    CannotEncodeError: status.HTTP_503_SERVICE_UNAVAILABLE,
    people.UnknownError: status.HTTP_404_NOT_FOUND,
    people.PeopleError: status.HTTP_422_UNPROCESSABLE_ENTITY,
    people.ConflictError: status.HTTP_409_CONFLICT,
    UnusablePictureError: status.HTTP_422_UNPROCESSABLE_ENTITY,
    VectorStoreError: status.HTTP_503_SERVICE_UNAVAILABLE,
    OutsideKeyError: status.HTTP_404_NOT_FOUND,
    UnusableKeyError: status.HTTP_503_SERVICE_UNAVAILABLE,
    BadRequest: status.HTTP_400_BAD_REQUEST,
    UnreadablePostError: status.HTTP_400_BAD_REQUEST,
}
"""These say themselves what is wrong. The first that fits counts."""

TEXT_OF: dict[type[Exception], str] = {
    exceptions.NotAuthenticated: "Authentication required",
    exceptions.MethodNotAllowed: "Method Not Allowed",
}


OF_THE_DATABASE = "The database does not answer; try again soon."
"""Instead of what it says itself, which names hosts and users."""


def shape_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """None for what Django answers, and logs: suspicious requests with 400, what nobody foresaw with 500."""
    known = _as_api_error(error, context)
    if known is None:
        return None
    response = exception_handler(known, context)
    if response is not None and isinstance(known.detail, list | dict):
        response.data = {"detail": known.detail}
    return response


def _as_api_error(error: Exception, context: dict[str, Any]) -> exceptions.APIException | None:
    if isinstance(error, exceptions.UnsupportedMediaType):
        return _wrong_body(context)
    if isinstance(error, exceptions.ValidationError):
        return InvalidRequestError(_faults(error.detail, ["body"]))
    if isinstance(error, exceptions.APIException):
        if text := TEXT_OF.get(type(error)):
            error.detail = exceptions.ErrorDetail(text)
        return error
    return _as_known(error)


def _as_known(error: Exception) -> exceptions.APIException | None:
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("%s", OF_THE_DATABASE, exc_info=error)
        return _with_status(status.HTTP_503_SERVICE_UNAVAILABLE, OF_THE_DATABASE, wait=AGAIN_SECONDS)
    for kind, code in STATUS_OF.items():
        if isinstance(error, kind):
            return _with_status(code, str(error), wait=getattr(error, "wait", None))
    if isinstance(error, Http404):
        return exceptions.NotFound(str(error) or "Not Found")
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied(str(error) or None)
    return None


def _with_status(code: int, text: str, *, wait: float | None) -> exceptions.APIException:
    """With `wait`, the seconds after which to try again, DRF says so in `Retry-After`."""
    known = exceptions.Throttled(wait, text) if wait is not None else exceptions.APIException(text)
    known.status_code = code
    return known


def _wrong_body(context: dict[str, Any]) -> InvalidRequestError:
    right = " or ".join(parser.media_type for parser in context["view"].parser_classes)
    given = context["request"].content_type
    return InvalidRequestError(
        [{"type": "content_type", "loc": ["body"], "msg": f"Send the body as {right}.", "input": given}]
    )


def _faults(detail: Any, loc: list[str | int]) -> Iterator[dict[str, Any]]:
    """What a serializer raised, flattened: `detail` nests as the data does."""
    if isinstance(detail, exceptions.ErrorDetail):
        kind = "missing" if detail.code == "required" else f"value_error.{detail.code}"
        yield {"type": kind, "loc": loc, "msg": str(detail), "input": None}
    elif isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _faults(inner, loc if name == api_settings.NON_FIELD_ERRORS_KEY else [*loc, name])
    else:
        for number, inner in enumerate(detail):
            yield from _faults(inner, loc if isinstance(inner, exceptions.ErrorDetail) else [*loc, number])
