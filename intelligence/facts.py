"""What images can be filtered by, as the database says it now. Each vector carries a copy, for speed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from entities import hierarchy
from entities.models import Entity
from intelligence.models import Face


@dataclass(frozen=True)
class ImageFacts:
    md5: str
    hidden: bool
    """In the trash, or below a collection that is."""
    ancestor_ids: tuple[int, ...]
    known_person_ids: tuple[int, ...]
    mime_type: str | None
    create_date: datetime | None

    def payload(self) -> dict[str, Any]:
        """The copy, by the names that vectors/collections.py has an index for."""
        kept = asdict(self)
        del kept["md5"]  # that of the content the vector was made from
        return kept


def image_facts(entity_ids: Collection[int]) -> dict[int, ImageFacts]:
    """Of the images among them, with three queries."""
    fields = ("pk", "parent_id", "is_deleted", "md5", "mime_type", "create_date")
    found = list(Entity.objects.images().filter(pk__in=entity_ids).order_by().values(*fields))
    chains = hierarchy.chains_up(row["parent_id"] for row in found)
    people = _people_on([row["pk"] for row in found])
    return {row["pk"]: _facts(row, chains.get(row["parent_id"], {}), people[row["pk"]]) for row in found}


def _facts(row: dict[str, Any], chain: dict[int, bool], people: set[int]) -> ImageFacts:
    return ImageFacts(
        md5=row["md5"],
        hidden=row["is_deleted"] or any(chain.values()),
        ancestor_ids=tuple(sorted(chain)),
        known_person_ids=tuple(sorted(people)),
        mime_type=row["mime_type"],
        create_date=row["create_date"],
    )


def _people_on(entity_ids: Collection[int]) -> defaultdict[int, set[int]]:
    people: defaultdict[int, set[int]] = defaultdict(set)
    known = Face.objects.filter(entity_id__in=entity_ids, known_person__isnull=False).order_by()
    for entity_id, person_id in known.values_list("entity_id", "known_person_id"):
        people[entity_id].add(person_id)
    return people
