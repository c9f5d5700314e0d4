"""Tables that follow the entities through triggers of the database, whoever writes the rows and however."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

Statements = Mapping[str, Sequence[str]]
"""SQL by the vendor of the database."""


@dataclass(frozen=True)
class Derived:
    name: str
    """Of the table; the names of its triggers begin with it."""
    create: Statements
    triggers: Statements
    fill: Statements
    """Makes the table what it should be, whatever it was."""
    drop: Statements

    def install(self, connection: BaseDatabaseWrapper) -> None:
        _run(connection, self.create, self.triggers, self.fill)

    def uninstall(self, connection: BaseDatabaseWrapper) -> None:
        _run(connection, self.drop)

    def repair(self, connection: BaseDatabaseWrapper) -> None:
        """After migrations: SQLite alters a table by making it anew, and its triggers are gone."""
        if self._is_there(connection) and self._lost_its_triggers(connection):
            _run(connection, self.triggers, self.fill)

    def _is_there(self, connection: BaseDatabaseWrapper) -> bool:
        return self.name in connection.introspection.table_names()

    def _lost_its_triggers(self, connection: BaseDatabaseWrapper) -> bool:
        if connection.vendor != "sqlite":
            return False
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s",
                [f"{self.name}%"],
            )
            return bool(cursor.fetchone()[0] == 0)


def _run(connection: BaseDatabaseWrapper, *parts: Statements) -> None:
    with connection.cursor() as cursor:
        for part in parts:
            for statement in part[connection.vendor]:
                cursor.execute(statement)
