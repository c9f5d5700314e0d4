"""The statuses of what can be wrong with a request about entities."""

from __future__ import annotations

from rest_framework import status
from rest_framework.exceptions import APIException

from entities import errors


class BadRequestError(APIException):
    status_code = status.HTTP_400_BAD_REQUEST


class ConflictError(APIException):
    status_code = status.HTTP_409_CONFLICT


class MissingError(APIException):
    status_code = status.HTTP_404_NOT_FOUND


KINDS: dict[type[Exception], type[APIException]] = {
    errors.EntityNotFoundError: MissingError,
    errors.VersionNotFoundError: MissingError,
    errors.NotInTrashError: BadRequestError,
    errors.KindMismatchError: BadRequestError,
    errors.ContentTakenError: ConflictError,
}
KINDS_OF_PUT: dict[type[Exception], type[APIException]] = {
    **KINDS,
    errors.InvalidHierarchyError: BadRequestError,
    errors.ContentNotAllowedError: BadRequestError,
}
"""Clients know some faults of a replacement by another status than those of a new entity."""


def as_answer(error: Exception, method: str | None) -> Exception:
    """What has no status of its own here keeps the one it has everywhere."""
    kind = (KINDS_OF_PUT if method == "PUT" else KINDS).get(type(error))
    return error if kind is None else kind(str(error))
