from __future__ import annotations

import pytest
from django.apps import apps
from django.db import connection, models
from django.db.migrations.state import ProjectState

from entities.live_indexes import AddLiveIndex
from entities.models import Entity

NAME = "made_by_a_test"


def indexed() -> dict[str, list[str]]:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, Entity._meta.db_table)
    return {name: each["columns"] for name, each in found.items() if each["index"]}


@pytest.mark.django_db(transaction=True)
def test_an_index_is_made_in_place_of_what_an_interruption_left() -> None:
    operation = AddLiveIndex("entity", models.Index("label", "id", name=NAME))
    state = ProjectState.from_apps(apps)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"CREATE INDEX {NAME} ON entities_entity (md5)")
    try:
        with connection.schema_editor(atomic=False) as editor:
            operation.database_forwards("entities", editor, state, state)
        assert indexed()[NAME] == ["label", "id"]
    finally:
        with connection.schema_editor(atomic=False) as editor:
            operation.database_backwards("entities", editor, state, state)
    assert NAME not in indexed()
