"""What hands work out and looks after it reads the jobs that live, not the many that have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from intelligence import polling
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(
        connection.vendor != "sqlite", reason="PostgreSQL chooses by what it knows of the rows"
    ),
]

Query = tuple[str, Any]
STEPS: dict[str, Callable[[Pipeline], object]] = {
    "dispatch": lambda pipeline: pipeline.processing.jobs.dispatch(),
    "sweep": lambda pipeline: pipeline.processing.sweeper.sweep_jobs(),
    "start": lambda pipeline: pipeline.processing.sweeper.recover_interrupted(),
    "poll": lambda _: polling._due_jobs(),
}


@contextmanager
def queries() -> Iterator[list[Query]]:
    """With their parameters apart: SQLite chooses otherwise where values stand in the text."""
    seen: list[Query] = []

    def note(execute: Any, sql: str, params: Any, many: Any, context: Any) -> Any:
        seen.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def plan(query: Query) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {query[0]}", query[1])
        return "\n".join(row[-1] for row in cursor.fetchall())


@pytest.mark.parametrize("step", STEPS)
def test_it_reads_no_ended_jobs(step: str, pipeline: Pipeline) -> None:
    make_photo(1)
    pipeline.reconcile()
    with queries() as seen:
        STEPS[step](pipeline)
    asked = [query for query in seen if 'FROM "intelligence_entityjob"' in query[0]]
    assert asked
    for query in asked:
        for line in plan(query).splitlines():
            assert "SCAN" not in line or "intelligence_entityjob" not in line, (line, *query)
