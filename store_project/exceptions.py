"""The one place that turns an exception into an answer: a JSON object with `detail`."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler

from entities import errors
from entities.metadata import MetadataError
from vectors import VectorStoreError

STATUS_OF = {
    errors.UploadTooLargeError: status.HTTP_413_REQUEST_ENTITY_TOO_LARGE,
    errors.StorageFullError: status.HTTP_507_INSUFFICIENT_STORAGE,
    errors.EntityError: status.HTTP_422_UNPROCESSABLE_ENTITY,
    MetadataError: status.HTTP_422_UNPROCESSABLE_ENTITY,
    VectorStoreError: status.HTTP_503_SERVICE_UNAVAILABLE,
}


def shape_error(error: Exception, context: dict[str, Any]) -> Response | None:
    """None for what nobody foresaw: that is a 500 and a line in the log."""
    for kind, code in STATUS_OF.items():
        if isinstance(error, kind):
            return Response({"detail": str(error)}, status=code)
    if isinstance(error, Http404):
        error = exceptions.NotFound(str(error) or "Not Found")
    if isinstance(error, exceptions.NotAuthenticated):
        error = exceptions.NotAuthenticated("Authentication required")
    if isinstance(error, exceptions.MethodNotAllowed):
        error.detail = "Method Not Allowed"
    return exception_handler(error, context)
