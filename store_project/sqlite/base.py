from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import OperationalError
from django.db.backends.sqlite3 import base

from store_project.sqlite.turns import Turn, TurnTimeoutError, turns_of

WRITES = frozenset({"DELETE", "INSERT", "REPLAC", "UPDATE"})
"""How statements that write begin."""


class DatabaseWrapper(base.DatabaseWrapper):
    """Queues before each transaction, and before each statement that writes outside of one.

    What begins and ends a transaction here is named by Django for its backends; the stubs do not know it.
    """

    _turn: Turn | None = None

    @contextmanager
    def turn(self) -> Iterator[None]:
        self._take_turn()
        try:
            yield
        finally:
            self._give_turn_back()

    def create_cursor(self, name: str | None = None) -> Any:
        return self.connection.cursor(factory=lambda connection: Cursor(connection, self))

    def _start_transaction_under_autocommit(self) -> None:
        self._take_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self._give_turn_back()
            raise

    def _commit(self) -> None:
        """One that fails is followed by a rollback, which ends the turn."""
        super()._commit()  # type: ignore[misc]
        self._give_turn_back()

    def _rollback(self) -> None:
        """One that fails is followed by a close."""
        super()._rollback()  # type: ignore[misc]
        self._give_turn_back()

    def _set_autocommit(self, autocommit: bool) -> None:  # noqa: FBT001  (Django's call)
        """The end of each atomic block: sqlite3 commits here what no error of the database has ended."""
        super()._set_autocommit(autocommit)  # type: ignore[misc]
        if autocommit:
            self._give_turn_back()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            self._give_turn_back()

    def _take_turn(self) -> None:
        if self._turn is not None or self.is_in_memory_db():  # in memory threads share one connection
            return
        self._turns = turns_of(str(Path(self.settings_dict["NAME"]).absolute()))
        try:
            self._turn = self._turns.take(self, timeout=self.settings_dict["OPTIONS"].get("timeout", 5))
        except TurnTimeoutError as error:
            raise OperationalError("database is locked") from error

    def _give_turn_back(self) -> None:
        if self._turn is not None:
            self._turns.give_back(self._turn)
            self._turn = None


class Cursor(base.SQLiteCursorWrapper):
    def __init__(self, connection: Any, wrapper: DatabaseWrapper) -> None:
        super().__init__(connection)
        self._wrapper = wrapper

    def execute(self, query: str, params: Any = None) -> Any:
        if self._writes_alone(query):
            with self._wrapper.turn():
                return super().execute(query, params)
        return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        if self._writes_alone(query):
            with self._wrapper.turn():
                return super().executemany(query, param_list)
        return super().executemany(query, param_list)

    def _writes_alone(self, query: str) -> bool:
        return not self.connection.in_transaction and query.lstrip()[:6].upper() in WRITES
