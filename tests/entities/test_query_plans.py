"""No list, count or lookup reads all rows: each plan of the database names an index."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from entities.api import plans
from entities.api.filters import EntityFilterSet
from entities.api.pagination import page_of
from entities.models import Entity
from tests.factories import make_collection, make_photo
from tests.query_plans import Query, plan, queries_asked

pytestmark = pytest.mark.django_db

FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"md5": "0" * 32},
    {"mime_type": "image/jpeg"},
    {"type": "image"},
    {"width": 64},
    {"height": 48},
    {"file_size_min": 1},
    {"file_size_max": 2**40},
    {"date_from": 0},
    {"date_to": 2**42},
    {"parent_id": 0},
    {"parent_id": "album"},
    {"is_collection": "true"},
    {"is_collection": "false"},
    {"search_query": "photo"},
    {"type": "image", "mime_type": "image/jpeg"},
    {"mime_type": "image/jpeg", "width": 64, "height": 48},
    {"file_size_min": 1, "file_size_max": 2**40, "type": "image"},
    {"file_size_min": 1, "date_to": 2**42},
    {"file_size_min": 1, "is_collection": "true"},
    {"parent_id": "album", "type": "image"},
    {"parent_id": "album", "is_collection": "true"},
    {"parent_id": 0, "file_size_max": 2**40, "is_collection": "false"},
    {"search_query": "photo", "type": "image"},
    {"search_query": "photo", "parent_id": "album", "date_from": 0},
)


@pytest.fixture(params=["few", "many"], autouse=True)
def size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a filter leaves decides how the rest is asked for."""
    if request.param == "many":
        monkeypatch.setattr(plans, "FEW", -1)


@pytest.fixture(autouse=True)
def album() -> Entity:
    album = make_collection("album")
    make_collection("inner", parent_id=album.pk)
    for seed in range(3):
        make_photo(seed, label="a photo", parent_id=album.pk)
    if connection.vendor == "postgresql":  # which would rather read so few rows without an index
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
    return album


@pytest.mark.parametrize("live", [{}, {"exclude_deleted": "true"}], ids=["all", "live"])
@pytest.mark.parametrize("query", FILTERS, ids=str)
def test_a_list(query: dict[str, Any], live: dict[str, str], album: Entity) -> None:
    parent = {"parent_id": album.pk} if query.get("parent_id") == "album" else {}
    filters = EntityFilterSet({**query, **live, **parent})
    assert filters.is_valid()
    with queries_asked() as asked:
        page_of(filters, Entity.objects.all(), page=1, page_size=20)
    _assert_indexed(asked)


def test_lookup() -> None:
    with queries_asked() as by_label:
        list(Entity.objects.live().labelled("album")[:2])
    with queries_asked() as by_md5:
        list(Entity.objects.live().filter(md5="0" * 32)[:2])
    assert "collection_label" in _assert_indexed(by_label)
    assert "md5" in _assert_indexed(by_md5)


def _assert_indexed(asked: list[Query]) -> str:
    explained = [plan(query) for query in asked if "entities_entity" in query.sql]
    steps = [step for each in explained for step in each]
    assert steps
    assert [step for step in steps if _reads_all_rows(step)] == []
    return "\n".join(steps)


def _reads_all_rows(step: str) -> bool:
    if connection.vendor == "postgresql":
        return "Seq Scan on entities_entity" in step
    return "SCAN entities_entity" in step and "INDEX" not in step


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL chooses by what it knows of the rows")
@pytest.mark.parametrize(
    ("query", "of_few", "of_many"),
    [
        ({"type": "image", "width": 64}, "entity_type_newest", "COVERING INDEX entity_newest"),
        ({"file_size_min": 1}, "entity_size_newest", "COVERING INDEX entity_newest"),
        ({"file_size_max": 2**40, "type": "image"}, "entity_type_newest", "COVERING INDEX entity_newest"),
        ({"search_query": "photo", "type": "image"}, "entity_type_newest", "entity_newest"),
    ],
    ids=str,
)
def test_sqlite_is_told_what_leads(query: dict[str, Any], of_few: str, of_many: str) -> None:
    filters = EntityFilterSet(query)
    assert filters.is_valid()
    chosen = plans.Plan.of(filters)
    with queries_asked() as asked:
        assert len(chosen.newest(start=0, end=20)) == 3
    assert (of_many if plans.FEW < 0 else of_few) in "\n".join(plan(asked[-1]))
