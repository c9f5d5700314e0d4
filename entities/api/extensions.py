"""Where an app above adds to an entity's JSON. It registers in its AppConfig.ready()."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rest_framework import serializers

from entities.models import Entity, EntityQuerySet

Values = dict[str, Any]


@dataclass(frozen=True)
class EntityExtension:
    fields: dict[str, serializers.Field[Any, Any, Any, Any]]
    """What it adds, for the schema."""
    prefetch: Callable[[EntityQuerySet], EntityQuerySet]
    """Fetches what `values` needs, with a number of queries that does not depend on the number of rows."""
    values: Callable[[Entity], Values]
    of_new: Values
    """What it adds to an entity that was just made."""


_extensions: list[EntityExtension] = []


def register(extension: EntityExtension) -> None:
    _extensions.append(extension)


def registered() -> Sequence[EntityExtension]:
    return tuple(_extensions)
