"""What users decide about people and faces: each step whole or not at all, written down, undone exactly."""

from __future__ import annotations

from intelligence.people.decisions import assign, confirm, reject, split
from intelligence.people.errors import ConflictError, PeopleError, UnknownError
from intelligence.people.journal import LOCK
from intelligence.people.persons import distinguish, merge, rename, set_cover, set_hidden
from intelligence.people.undoing import undo

__all__ = [
    "LOCK",
    "ConflictError",
    "PeopleError",
    "UnknownError",
    "assign",
    "confirm",
    "distinguish",
    "merge",
    "reject",
    "rename",
    "set_cover",
    "set_hidden",
    "split",
    "undo",
]
