"""How the database goes about a query as it is asked: SQLite may choose otherwise for values in the text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.db import connection


class Query(NamedTuple):
    sql: str
    params: Any


@contextmanager
def queries_asked() -> Iterator[list[Query]]:
    seen: list[Query] = []

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        seen.append(Query(sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def plan(query: Query) -> list[str]:
    """Line by line."""
    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {query.sql}", query.params)
        return [row[-1] for row in cursor.fetchall()]
