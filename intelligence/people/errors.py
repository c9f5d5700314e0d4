from __future__ import annotations


class PeopleError(ValueError):
    """What was asked for makes no sense; the message says what would."""


class UnknownError(LookupError):
    """There is no such face, person or operation; the message says which."""


class ConflictError(Exception):
    """Something that came later stands in the way; the message says what, and what to do first."""
