"""What is known of people, as one value: two that are equal differ in nothing that a user could see."""

from __future__ import annotations

from typing import Any

from intelligence.models import Face, FaceDecision, KnownPerson, PersonDistinction
from intelligence.people.facts import FIELDS, kind_of


def everything() -> dict[str, dict[int, Any]]:
    kinds: tuple[Any, ...] = (KnownPerson, Face, FaceDecision, PersonDistinction)
    return {
        kind.__name__: {
            row.pk: {name: getattr(row, name) for name in FIELDS[kind_of(row)]}
            | {"face": getattr(row, "face_id", None)}
            for row in kind.objects.all()
        }
        for kind in kinds
    }
