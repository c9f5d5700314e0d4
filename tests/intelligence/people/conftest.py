from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from intelligence.models import Face, KnownPerson
from tests.factories import make_face, make_person, make_photo


@dataclass
class Library:
    """Each face on a photo of its own, unless a photo is named."""

    photos: int = 0
    faces: list[Face] = field(default_factory=list)

    def face(self, person: KnownPerson | None = None, **fields: Any) -> Face:
        if "entity" not in fields:
            self.photos += 1
            fields["entity"] = make_photo(self.photos)
        made = make_face(fields.pop("entity"), known_person=person, **{"standing": "core", **fields})
        self.faces.append(made)
        return made

    def person(self, name: str | None = None, faces: int = 0, **fields: Any) -> KnownPerson:
        made = make_person(name, **fields)
        for _ in range(faces):
            self.face(made)
        return made


@pytest.fixture
def library(media_root: object) -> Library:
    return Library()
