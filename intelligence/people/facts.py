"""Facts about people as an operation remembers them: a row's fields as JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from intelligence.models import Face, FaceDecision, KnownPerson, PeopleChange, PersonDistinction

Fact = dict[str, Any]
Row = KnownPerson | Face | FaceDecision | PersonDistinction

# A face's own id is no part of it: the face may be found anew under another one.
FIELDS: Mapping[PeopleChange.Of, tuple[str, ...]] = {
    PeopleChange.Of.PERSON: ("name", "hidden", "cover_face_id", "created_at"),
    PeopleChange.Of.FACE: ("known_person_id", "assigned_by", "standing"),
    PeopleChange.Of.DECISION: (
        "entity_id",
        "md5",
        "bbox",
        "person_id",
        "verdict",
        "decided_by",
        "decided_at",
    ),
    PeopleChange.Of.DISTINCTION: ("person_id", "other_id", "decided_by", "decided_at"),
}
SHAPE = ("entity_id", "bbox", "landmarks", "confidence", "quality", "model")
"""What else is noted of a face that goes, so that it can come back."""
TIMES = ("created_at", "decided_at")

_KINDS: Mapping[type[Row], PeopleChange.Of] = {
    KnownPerson: PeopleChange.Of.PERSON,
    Face: PeopleChange.Of.FACE,
    FaceDecision: PeopleChange.Of.DECISION,
    PersonDistinction: PeopleChange.Of.DISTINCTION,
}


def kind_of(row: Row) -> PeopleChange.Of:
    return _KINDS[type(row)]


def fact_of(row: Row) -> Fact:
    """As it stands in this object."""
    values = {name: getattr(row, name) for name in FIELDS[kind_of(row)]}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()
    }


def whole_of(face: Face) -> Fact:
    return fact_of(face) | {name: getattr(face, name) for name in SHAPE}


def fields_from(fact: Fact) -> dict[str, Any]:
    return {name: datetime.fromisoformat(value) if name in TIMES else value for name, value in fact.items()}


def differing(one: Fact | None, other: Fact | None) -> set[str]:
    """All of them where the row was made or removed."""
    if one is None or other is None:
        return set(one or other or {})
    return {name for name in one if one[name] != other.get(name)}
