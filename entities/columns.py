"""Columns as the lists of entities and their indexes name them."""

from __future__ import annotations

from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Func
from django.db.models.sql.compiler import SQLCompiler

LABEL_HEAD = 255
NEWEST = (F("added_date").desc(), F("id").desc(), F("is_deleted"))


class LabelHead(Func):
    """The first LABEL_HEAD characters. Written out, as an index is found by the same words only."""

    function = "SUBSTR"
    template = f"%(function)s(%(expressions)s, 1, {LABEL_HEAD})"
    arity = 1


class Unindexed(Func):
    """A column that no index is to be chosen for, in SQLite; PostgreSQL knows from its statistics."""

    template = "%(expressions)s"
    arity = 1

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_options: Any) -> Any:
        return self.as_sql(compiler, connection, template="+%(expressions)s")
