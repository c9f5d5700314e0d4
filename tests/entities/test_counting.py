"""The counts are right whoever writes, however, and however it ends: each test counts the rows afresh."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F

from entities import counting, services
from entities.counting import COUNTS, Kind
from entities.models import Entity
from entities.storage import EntityStorageService
from tests.factories import make_collection, make_photo, store

pytestmark = pytest.mark.django_db

Numbers = Counter[tuple[Any, ...]]
KEPT = "SELECT parent_id, type, mime_type, is_deleted, number FROM entities_count"
ROWS = """
SELECT COALESCE(parent_id, 0), COALESCE(type, ''), COALESCE(mime_type, ''), is_deleted FROM entities_entity
"""


def _kept(database: BaseDatabaseWrapper = connection) -> Numbers:
    numbers: Numbers = Counter()
    for *kind, number in _rows(database, KEPT):
        numbers[tuple(kind)] += number  # over all slots
    return +numbers


def _counted(database: BaseDatabaseWrapper = connection) -> Numbers:
    numbers: Numbers = Counter()
    for parent_id, media_type, mime_type, is_deleted in _rows(database, ROWS):
        numbers[counting.EVERYWHERE, media_type, mime_type, is_deleted] += 1
        numbers[parent_id, media_type, "", is_deleted] += 1
    return numbers


def _rows(database: BaseDatabaseWrapper, query: str) -> list[tuple[Any, ...]]:
    with database.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())


def test_it_counts_by_parent_type_and_trash() -> None:
    album = make_collection("album")
    photos = [make_photo(seed, parent_id=album.pk) for seed in range(3)]
    store(b"some words\n")
    services.patch_entity(photos[0].pk, {"is_deleted": True})

    assert counting.count(Kind()) == 5
    assert counting.count(Kind(is_deleted=False)) == 4
    assert counting.count(Kind(type="image")) == 3
    assert counting.count(Kind(mime_type="text/plain")) == 1
    assert counting.count(Kind(type="text", mime_type="image/jpeg")) == 0
    assert counting.count(Kind(parent_id=album.pk, is_deleted=True)) == 1
    assert counting.count(Kind(parent_id=counting.ROOT)) == 2
    assert counting.count(Kind(parent_id=counting.ROOT, is_collection=True)) == 1
    assert counting.count(Kind(is_collection=False, is_deleted=False)) == 3
    assert _kept() == _counted()


def test_it_follows_what_is_written_past_the_services() -> None:
    first, second = make_collection("first"), make_collection("second")
    for seed in range(4):
        make_photo(seed, parent_id=first.pk)

    Entity.objects.filter(type="image").update(parent=second)
    assert (_kept(), counting.count(Kind(parent_id=second.pk))) == (_counted(), 4)
    Entity.objects.filter(type="image").update(mime_type="image/png")
    assert (_kept(), counting.count(Kind(mime_type="image/png"))) == (_counted(), 4)
    Entity.objects.filter(parent=second, pk__gt=F("parent_id") + 2).update(is_deleted=True)
    assert _kept() == _counted()
    Entity.objects.filter(parent=second).delete()
    assert (_kept(), counting.count(Kind())) == (_counted(), 2)


def test_what_is_rolled_back_was_never_counted() -> None:
    album = make_collection("album")
    before = _kept()
    with transaction.atomic():
        make_photo(1, parent_id=album.pk)
        Entity.objects.filter(pk=album.pk).update(is_deleted=True)
        assert _kept() == _counted() != before
        transaction.set_rollback(True)
    assert _kept() == _counted() == before


def test_nothing_is_kept_of_a_removed_collection() -> None:
    album = make_collection("album")
    make_photo(1, parent_id=album.pk)
    services.patch_entity(album.pk, {"is_deleted": True})
    services.remove_entity(album.pk, storage=EntityStorageService.from_settings())
    assert {parent_id for parent_id, *_ in _rows(connection, KEPT)} <= {counting.EVERYWHERE, counting.ROOT}


def test_the_children_of_each_are_the_live_ones() -> None:
    album, empty = make_collection("album"), make_collection("empty")
    photos = [make_photo(seed, parent_id=album.pk) for seed in range(3)]
    make_collection("inner", parent_id=album.pk)
    Entity.objects.filter(pk=photos[0].pk).update(is_deleted=True)
    found = Entity.objects.filter(is_collection=True, parent=None).with_children_count()
    assert {entity.pk: entity.children_count for entity in found} == {album.pk: 3, empty.pk: 0}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite alters a table by making it anew")
def test_they_are_counted_afresh_where_a_migration_took_the_triggers() -> None:
    with connection.cursor() as cursor:
        for event in ("insert", "update", "delete"):
            cursor.execute(f"DROP TRIGGER entities_count_{event}")
    make_collection("not counted")
    assert counting.count(Kind()) == 0

    COUNTS.repair(connection)
    make_collection("counted")

    assert (_kept(), counting.count(Kind())) == (_counted(), 2)


# --- Several at once --------------------------------------------------------------------------------------

WRITERS, TRANSACTIONS = 4, 15
INSERT = """
INSERT INTO entities_entity (is_collection, label, added_date, updated_date, is_deleted)
VALUES (%s, %s, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, %s)
"""


@contextmanager
def _another_connection(folder: Path) -> Iterator[BaseDatabaseWrapper]:
    """To the database of the test, or a copy of it where that is in this process's memory."""
    other = connection.copy()
    if connection.vendor == "sqlite":
        other.settings_dict["NAME"] = str(folder / "copy.db")
    try:
        yield other
    finally:
        other.close()


def _write(folder: Path, writer: int) -> None:
    with _another_connection(folder) as database, database.cursor() as cursor:
        for number in range(TRANSACTIONS):
            cursor.execute("BEGIN IMMEDIATE" if database.vendor == "sqlite" else "BEGIN")
            cursor.execute(INSERT, [True, f"{writer} {number}", False])
            if number % 5 == 1:
                cursor.execute(
                    "UPDATE entities_entity SET is_deleted = %s WHERE label = %s", [True, f"{writer} 0"]
                )
            cursor.execute("ROLLBACK" if number % 3 == 2 else "COMMIT")


@pytest.mark.django_db(transaction=True)
def test_writers_at_once(tmp_path: Path) -> None:
    """Some of them think better of it."""
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
            connection.connection.backup(copy)
    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(lambda writer: _write(tmp_path, writer), range(WRITERS)))
    with _another_connection(tmp_path) as database:
        committed = WRITERS * TRANSACTIONS * 2 // 3
        assert _kept(database) == _counted(database)
        assert _kept(database)[counting.EVERYWHERE, "", "", True] == WRITERS
        assert sum(_counted(database).values()) == 2 * committed
