"""Words of our own in the text of a query, where a parameter would cost an index."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Value
from django.db.models.sql.compiler import SQLCompiler


class Literal(Value):
    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        word = str(self.value)
        if not word.isidentifier():
            raise ValueError(f"{word!r} is no word of ours.")
        return f"'{word}'", []


def literals(words: Iterable[str]) -> list[Literal]:
    """For `__in`: SQLite takes a partial index whose condition is such a list for the same list only, and
    does not look into parameters.
    """
    return [Literal(word) for word in words]
