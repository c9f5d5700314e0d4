"""The tree of collections: who may stand under whom, and whose ancestors are deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

from django.db import connection

from entities.errors import InvalidHierarchyError
from entities.models import Entity

MAX_DEPTH = 10
"""Levels, the root being the first; files count as a level."""

_ANCESTORS = """
WITH RECURSIVE up(start, id, parent_id, is_deleted, level) AS (
    SELECT id, id, parent_id, is_deleted, 1 FROM entities_entity WHERE id IN (%(ids)s)
    UNION ALL
    SELECT up.start, e.id, e.parent_id, e.is_deleted, up.level + 1
    FROM entities_entity e JOIN up ON e.id = up.parent_id
    WHERE up.level <= %%s
)
SELECT DISTINCT start, id, is_deleted FROM up
"""

DOWN = """
WITH RECURSIVE down(id, level) AS (
    SELECT id, 1 FROM entities_entity WHERE id = %s
    UNION ALL
    SELECT e.id, down.level + 1 FROM entities_entity e JOIN down ON e.parent_id = down.id
    WHERE down.level <= %s
)
"""
_SUBTREE = DOWN + "SELECT id, level FROM down ORDER BY level"  # noqa: S608  (nothing from outside)
_SIZE = DOWN + "SELECT COUNT(*) FROM down"  # noqa: S608
_HEIGHT = DOWN + "SELECT MAX(level) FROM down"  # noqa: S608


def deleted_or_below_deleted(ids: Iterable[int | None]) -> set[int]:
    """Those of `ids` that are deleted or have a deleted ancestor, with one query."""
    wanted = sorted({pk for pk in ids if pk is not None})
    if not wanted:
        return set()
    return {start for start, _, is_deleted in _ancestors(wanted) if is_deleted}


def chains_up(ids: Iterable[int | None]) -> dict[int, dict[int, bool]]:
    """For each of `ids`: itself and all above it, each with whether it is deleted; with one query."""
    wanted = sorted({pk for pk in ids if pk is not None})
    chains: dict[int, dict[int, bool]] = {}
    for start, pk, is_deleted in _ancestors(wanted) if wanted else ():
        chains.setdefault(start, {})[pk] = is_deleted
    return chains


def _ancestors(ids: Sequence[int]) -> list[tuple[int, int, bool]]:
    """(start, itself or an ancestor, whether that is deleted) for each of `ids`."""
    query = _ANCESTORS % {"ids": ", ".join(["%s"] * len(ids))}
    with connection.cursor() as cursor:
        # The limit on levels only guards against a cycle that should not be there.
        cursor.execute(query, [*ids, 2 * MAX_DEPTH])
        return [(start, pk, bool(is_deleted)) for start, pk, is_deleted in cursor.fetchall()]


def check_parent(parent_id: int | None, *, moved_id: int | None = None) -> None:
    """Raises InvalidHierarchyError unless `parent_id` may hold a new entity, or the subtree of `moved_id`."""
    if parent_id is None:
        return
    parent = Entity.objects.filter(pk=parent_id).first()
    if parent is None:
        raise InvalidHierarchyError(f"Parent {parent_id} does not exist.")
    if not parent.is_collection:
        raise InvalidHierarchyError(f"Parent {parent_id} is not a collection.")
    if parent.is_deleted:
        raise InvalidHierarchyError(f"Parent {parent_id} is deleted; restore it first.")
    ancestors = _chain_up(parent_id)
    if moved_id in ancestors:
        raise InvalidHierarchyError(f"Circular hierarchy detected: {moved_id} is above {parent_id}.")
    if len(ancestors) + _height(moved_id) > MAX_DEPTH:
        raise InvalidHierarchyError(f"Maximum hierarchy depth exceeded: at most {MAX_DEPTH} levels.")


def _chain_up(entity_id: int) -> set[int]:
    return {pk for _, pk, _ in _ancestors([entity_id])}


def _height(entity_id: int | None) -> int:
    """Levels of the subtree; a new entity is one."""
    if entity_id is None:
        return 1
    with connection.cursor() as cursor:
        cursor.execute(_HEIGHT, [entity_id, 2 * MAX_DEPTH])
        return int(cursor.fetchone()[0] or 1)


def size(entity_id: int) -> int:
    """Of itself and all below it; 0 where it does not exist."""
    with connection.cursor() as cursor:
        cursor.execute(_SIZE, [entity_id, 2 * MAX_DEPTH])
        return int(cursor.fetchone()[0])


def subtree(entity_id: int) -> list[list[int]]:
    """Itself and all below it, level by level; nothing where it does not exist."""
    with connection.cursor() as cursor:
        cursor.execute(_SUBTREE, [entity_id, 2 * MAX_DEPTH])
        by_level = groupby(cursor.fetchall(), key=itemgetter(1))
        return [[pk for pk, _ in rows] for _, rows in by_level]
