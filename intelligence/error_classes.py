"""Kinds of failures, by words that their reasons contain."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.db.models import Q


@dataclass(frozen=True)
class ErrorClass:
    name: str
    label: str
    phrases: tuple[str, ...]

    def condition(self) -> Q:
        return reduce(or_, (Q(error_message__contains=phrase) for phrase in self.phrases))


ERROR_CLASSES = (
    ErrorClass(
        "file", "the file is gone or unreadable", ("file is missing", "no longer there", "could not be read")
    ),
    ErrorClass("image", "the image is damaged, too large or not one", ("damaged", "pixels", "not an image")),
    ErrorClass("storing", "the result could not be stored", ("could not be stored",)),
    ErrorClass("result", "the result cannot be used", ("cannot be used", "could not cope")),
    ErrorClass("runtime", "the runs ended without an answer", ("without an answer", "not enough memory")),
    ErrorClass("service", "the compute service", ("compute service",)),
    ErrorClass("discarded", "discarded by somebody", ("Discarded by",)),
)
OTHER = "other"


def condition_of(name: str) -> Q:
    """Raises KeyError for an unknown name."""
    if name == OTHER:
        return ~reduce(or_, (each.condition() for each in ERROR_CLASSES))
    return {each.name: each for each in ERROR_CLASSES}[name].condition()
