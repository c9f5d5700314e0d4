"""Which entities and faces a search may show: nothing in the trash, nothing below a trashed collection."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from django.db import connection
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL

from entities import hierarchy
from entities.models import Entity
from intelligence.models import Face
from vectors import Hit

TRASH_LIMIT = 100_000
"""The most ids that one search is told to leave out: 0.3 s to read and 0.2 s to search with."""

# Only collections have something below them. UNION ends even on a cycle that should not be there.
_TRASH = """
WITH RECURSIVE gone(id, is_collection) AS (
    SELECT id, is_collection FROM entities_entity WHERE is_deleted
    UNION
    SELECT e.id, e.is_collection
    FROM entities_entity e JOIN gone ON e.parent_id = gone.id AND gone.is_collection
)
"""
_ALL_ENTITIES = "SELECT id FROM gone WHERE NOT is_collection"
_ENTITIES = "SELECT id FROM gone WHERE NOT is_collection LIMIT %s"
_FACES = "SELECT f.id FROM intelligence_face f JOIN gone ON f.entity_id = gone.id LIMIT %s"


def shown_entities(ids: Collection[int]) -> set[int]:
    found = Entity.objects.live().filter(pk__in=ids)
    return below_no_trash(dict(found.values_list("pk", "parent_id")))


def shown_faces(ids: Collection[int]) -> set[int]:
    found = Face.objects.filter(pk__in=ids, entity__is_deleted=False).order_by()
    return below_no_trash(dict(found.values_list("pk", "entity__parent_id")))


def below_no_trash(parents: Mapping[int, int | None]) -> set[int]:
    """Of what lies in these collections, by its id, that which is in the trash with none of them."""
    hidden = hierarchy.deleted_or_below_deleted(parents.values())
    return {pk for pk, parent in parents.items() if parent not in hidden}


def outside_trash(faces: QuerySet[Face]) -> QuerySet[Face]:
    """As a condition of the query itself: for counting, and for choosing pages."""
    return faces.exclude(entity_id__in=RawSQL(_TRASH + _ALL_ENTITIES, []))  # noqa: S611  (nothing from outside)


def shown_hits(
    nearest: Callable[[int, Collection[int]], list[Hit]],
    limit: int,
    spare: int,
    shown: Callable[[Collection[int]], set[int]],
    in_trash: Callable[[], frozenset[int]],
) -> list[Hit]:
    """The best of what may be shown. `nearest` takes how many, and the ids to leave out.

    Two searches at most, however full the trash is: where unmarked trash takes the places of others, the
    second one is told the trash.
    """
    hits = nearest(limit + spare, ())
    visible = shown([hit.id for hit in hits])
    if len(visible) < limit and len(hits) == limit + spare:
        gone = {hit.id for hit in hits} - visible
        hits = nearest(limit + spare, in_trash() | gone)
        visible = shown([hit.id for hit in hits])
    return [hit for hit in hits if hit.id in visible][:limit]


def entities_in_trash() -> frozenset[int]:
    """At most TRASH_LIMIT of them."""
    return _ids_in_trash(_ENTITIES)


def faces_in_trash() -> frozenset[int]:
    """At most TRASH_LIMIT of them."""
    return _ids_in_trash(_FACES)


def _ids_in_trash(selection: str) -> frozenset[int]:
    with connection.cursor() as cursor:
        cursor.execute(_TRASH + selection, [TRASH_LIMIT])
        return frozenset(pk for (pk,) in cursor.fetchall())
