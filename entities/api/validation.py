"""Requests that are not as they should be: 422, and for each fault where it is and what would be right."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rest_framework import serializers, status
from rest_framework.exceptions import APIException, NotFound
from rest_framework.fields import iter_options

TRUE_WORDS = frozenset({"true", "1", "yes", "on", "t", "y"})
FALSE_WORDS = frozenset({"false", "0", "no", "off", "f", "n"})
MAX_ID = 2**63 - 1
MAX_ID_DIGITS = 19
_INTEGER = re.compile(r"[+-]?[0-9]+")


class InvalidRequestError(APIException):
    """`detail` is a list of {type, loc, msg, input}."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY

    def __init__(self, faults: Iterable[Mapping[str, Any]]) -> None:
        super().__init__()
        plain: Any = list(faults)  # as it stands: DRF would turn every value into text
        self.detail = plain


class WordBooleanField(serializers.BooleanField):
    """The words that clients use for yes and no, in any case."""

    default_empty_html = serializers.empty  # a form without it does not say "no"

    def __init__(self, **options: Any) -> None:
        # In a browser's form a choice: a box that is not ticked would not be sent at all.
        super().__init__(**{"style": {"base_template": "select.html"}, **options})

    def iter_options(self) -> Iterable[Any]:
        return iter_options({"False": "no", "True": "yes"})

    def to_internal_value(self, data: Any) -> bool:
        word = str(data).lower()
        if word not in TRUE_WORDS | FALSE_WORDS:
            self.fail("invalid", input=data)
        return word in TRUE_WORDS


def validated(serializer: serializers.BaseSerializer[Any], where: str) -> dict[str, Any]:
    """The checked data; raises InvalidRequestError with `where` ("body" or "query") in each `loc`."""
    if serializer.is_valid():
        data: dict[str, Any] = serializer.validated_data
        return data
    errors: Any = serializer.errors
    raise InvalidRequestError(
        {
            "type": "missing" if message.code == "required" else f"value_error.{message.code}",
            "loc": [where, name, *further],
            "msg": str(message),
            "input": _printable(serializer.initial_data.get(name)),
        }
        for name, messages in errors.items()
        for further, message in _flattened(messages)
    )


def _flattened(messages: Any) -> Iterator[tuple[list[int | str], Any]]:
    """Each with where it belongs: the items of a list have faults of their own."""
    if isinstance(messages, dict):
        for name, inner in messages.items():
            yield from (([name, *further], message) for further, message in _flattened(inner))
    else:
        yield from (([], message) for message in messages)


def _printable(given: Any) -> Any:
    """What JSON can say. An uploaded file is named, not echoed."""
    if isinstance(given, str):
        return given.encode(errors="backslashreplace").decode()  # JSON can spell half a character
    is_number = isinstance(given, int) or (isinstance(given, float) and math.isfinite(given))
    return given if given is None or is_number else str(given)


def path_id(text: str) -> int:
    """The integer of a path; 422 if it is none, 404 if no row can have it."""
    if not _INTEGER.fullmatch(text):
        fault = {"type": "int_parsing", "loc": ["path", "id"], "msg": "must be an integer", "input": text}
        raise InvalidRequestError([fault])
    if len(text) > MAX_ID_DIGITS or not 0 <= int(text) <= MAX_ID:
        raise NotFound("Entity not found")
    return int(text)
