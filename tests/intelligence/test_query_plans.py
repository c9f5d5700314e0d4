"""What hands work out and looks after it reads the jobs that live, not the many that have ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection

from intelligence import polling
from tests.factories import make_photo
from tests.intelligence.pipeline import Pipeline
from tests.query_plans import plan, queries_asked

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(
        connection.vendor != "sqlite", reason="PostgreSQL chooses by what it knows of the rows"
    ),
]

STEPS: dict[str, Callable[[Pipeline], object]] = {
    "dispatch": lambda pipeline: pipeline.processing.jobs.dispatch(),
    "sweep": lambda pipeline: pipeline.processing.sweeper.sweep_jobs(),
    "start": lambda pipeline: pipeline.processing.sweeper.recover_interrupted(),
    "poll": lambda _: polling._due_jobs(),
}


@pytest.mark.parametrize("step", STEPS)
def test_it_reads_no_ended_jobs(step: str, pipeline: Pipeline) -> None:
    make_photo(1)
    pipeline.reconcile()
    with queries_asked() as seen:
        STEPS[step](pipeline)
    asked = [
        query
        for query in seen
        if "intelligence_entityjob" in query.sql and not query.sql.startswith("INSERT")
    ]
    assert asked
    for query in asked:
        for line in plan(query):
            assert "SCAN" not in line or "intelligence_entityjob" not in line, (line, query)
