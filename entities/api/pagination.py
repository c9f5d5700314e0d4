from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

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


def page_of(entities: EntityQuerySet, *, page: int, page_size: int) -> tuple[list[Entity], Pagination]:
    """Two queries. A page past the end is empty."""
    total = entities.count()
    start = (page - 1) * page_size
    rows = list(entities.with_children_count()[start : start + page_size]) if start < total else []
    return rows, Pagination.of(page=page, page_size=page_size, total=total)
