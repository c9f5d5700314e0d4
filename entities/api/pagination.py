from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

from entities.api.filters import EntityFilterSet
from entities.api.plans import Plan
from entities.models import Entity, EntityQuerySet


@dataclass(frozen=True)
class Pagination:
    page: int
    page_size: int
    total_items: int
    total_pages: int
    has_next: bool
    has_prev: bool

    @classmethod
    def of(cls, *, page: int, page_size: int, total: int) -> Self:
        pages = -(-total // page_size)
        return cls(page, page_size, total, pages, has_next=page < pages, has_prev=page > 1)

    def as_json(self) -> dict[str, int | bool]:
        return asdict(self)


def page_of(
    filters: EntityFilterSet, entities: EntityQuerySet, *, page: int, page_size: int
) -> tuple[list[Entity], Pagination]:
    """A page of `entities`, newest first. One that is past the end is empty."""
    plan = Plan.of(filters)
    # An index alone tells the ids, however many pages are skipped.
    ids = plan.newest(start=(page - 1) * page_size, end=page * page_size)
    return entities.with_children_count().in_order_of(ids), Pagination.of(
        page=page, page_size=page_size, total=plan.total
    )
