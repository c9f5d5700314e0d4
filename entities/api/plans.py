"""How many a list has in all, and which index its pages are read by.

PostgreSQL chooses by its statistics. SQLite keeps none, and would read a million rows through the index of a
filter that holds for nearly all of them, so it is told: where one filter leaves few, its index, and what that
leaves is sorted; else the index of the newest, which holds what all filters but the search ask for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from django.db import connection
from django.db.models import Max, Min

from entities import counting, searching
from entities.api.filters import EntityFilterSet
from entities.columns import Unindexed
from entities.models import Entity, EntityQuerySet

FEW = 10_000
"""To look up more rows that are not in memory takes longer than to read the whole index of the newest."""

Names = frozenset[str]
NONE: Names = frozenset()

INDEXES: tuple[Names, ...] = (
    frozenset({"md5"}),
    frozenset({"parent_id", "is_collection"}),
    frozenset({"type"}),
    frozenset({"mime_type"}),
    frozenset({"width", "height"}),
    frozenset({"file_size_min", "file_size_max"}),
    frozenset({"search_query"}),
)
"""The filters that are found by an index, together where they share one."""
UNSORTED = {"file_size_min", "file_size_max", "search_query"}
"""What their indexes find is not in the order of a list."""
IN_EACH_INDEX = {"exclude_deleted", "date_from", "date_to"}


@dataclass(frozen=True)
class Plan:
    filters: EntityFilterSet
    total: int
    leader: Names = NONE
    """The filters whose index is used; where there are none, that of the newest is."""
    others: Names = NONE
    """The filters whose indexes are not used."""

    @classmethod
    def of(cls, filters: EntityFilterSet) -> Self:
        given = frozenset(filters.given())
        indexed = [together & given for together in INDEXES if together & given]
        if _one_index_tells(filters):
            total, everyone = _count_by_one_index(filters), NONE.union(*indexed)
            if total <= FEW or not everyone & UNSORTED:
                return cls(filters, total, leader=everyone)
            return cls(filters, total, others=everyone)
        leader = _leader(filters, indexed)
        others = NONE.union(*indexed) - leader
        counted = filters.counted()
        if counted is None:
            counted = _found(filters, leader, others).order_by().count()
        return cls(filters, counted, leader, others)

    def newest(self, *, start: int, end: int) -> list[int]:
        """Ids."""
        if start >= self.total:
            return []
        found = _found(self.filters, self.leader, self.others)
        if self.leader & UNSORTED:
            return _ids(found.order_by(Unindexed("added_date").desc(), Unindexed("id").desc()), start, end)
        if not self.leader and searching.is_indexed(self.filters.given().get("search_query", "")):
            among_newest = _ids(self._found_among_newest(end), start, end)
            if len(among_newest) == min(end, self.total) - start:
                return among_newest
        return _ids(found, start, end)

    def _found_among_newest(self, end: int) -> EntityQuerySet:
        """What is found often is found often enough among the newest; mostly."""
        depth = 2 * end * counting.count(counting.Kind()) // self.total
        edge = Entity.objects.values_list("added_date", flat=True)[depth : depth + 1].first()
        newest = Entity.objects.all() if edge is None else Entity.objects.filter(added_date__gte=edge)
        found = self.filters.narrow(without_index=self.others, ids=_first_and_last(newest))
        return found if edge is None else found.filter(added_date__gte=edge)


def _one_index_tells(filters: EntityFilterSet) -> bool:
    """Whether one index holds all that is asked for."""
    given = filters.given().keys()
    if "search_query" in given:
        return given <= {"search_query", "exclude_deleted"}
    return any(given - IN_EACH_INDEX <= together for together in INDEXES)


def _count_by_one_index(filters: EntityFilterSet) -> int:
    counted = filters.counted()
    if counted is not None:
        return counted
    given = filters.given()
    text = given.get("search_query", "")
    found = searching.count(text, live=given.get("exclude_deleted", False))
    if found is not None:
        return found
    return filters.narrow().order_by().count()


def _leader(filters: EntityFilterSet, indexed: list[Names]) -> Names:
    if connection.vendor != "sqlite":
        return NONE
    sizes = {together: _size(filters, together) for together in indexed}
    few = [together for together in indexed if sizes[together] <= FEW]
    return min(few, key=sizes.__getitem__, default=NONE)


def _size(filters: EntityFilterSet, names: Names) -> int:
    """How many they alone would leave; where that has to be found out, FEW + 1 stands for more."""
    counted = filters.counted(names)
    if counted is not None:
        return counted
    if "search_query" not in names:
        return filters.narrow(names).order_by()[: FEW + 1].count()
    text = filters.given()["search_query"]
    found = searching.count(text, at_most=FEW + 1)
    return FEW + 1 if found is None else found


def _found(filters: EntityFilterSet, leader: Names, others: Names) -> EntityQuerySet:
    if leader and "search_query" in others:
        return filters.narrow(without_index=others, ids=_first_and_last(filters.narrow(leader)))
    return filters.narrow(without_index=others)


def _first_and_last(entities: EntityQuerySet) -> tuple[int, int]:
    """Ids; more may be between them."""
    ends = entities.order_by().aggregate(first=Min(Unindexed("id")), last=Max(Unindexed("id")))
    return ends["first"] or 0, ends["last"] or 0


def _ids(entities: EntityQuerySet, start: int, end: int) -> list[int]:
    return list(entities.values_list("pk", flat=True)[start:end])
