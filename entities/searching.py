"""Finding text in labels and descriptions: every part of three characters is indexed by the database."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from django.db import connection
from django.db.models import Q
from django.db.models.expressions import Combinable, RawSQL
from django.db.models.lookups import In

from entities.counting import HIDDEN
from entities.derived import Derived

INDEXED_LENGTH = 3
"""A shorter text is looked for in each row."""
ALL_IDS = (0, 2**63 - 1)

_COLUMNS = "rowid, label, description, trash"


def _values(row: str) -> str:
    """`trash` lets the search leave out what is deleted, and count the rest, without a look at the rows."""
    return f"{row}.id, {row}.label, {row}.description, CASE WHEN {row}.is_deleted THEN 'del' END"


_ADD = f"INSERT INTO entities_search ({_COLUMNS}) VALUES ({_values('NEW')});"  # noqa: S608  (nothing from outside)
_REMOVE = f"""
INSERT INTO entities_search (entities_search, {_COLUMNS}) VALUES ('delete', {_values("OLD")});
"""  # noqa: S608
_ADD_ALL = f"""
INSERT INTO entities_search ({_COLUMNS}) SELECT {_values("entities_entity")} FROM entities_entity
"""  # noqa: S608

SEARCH = Derived(
    name="entities_search",
    create={
        "sqlite": [
            """
            CREATE VIRTUAL TABLE entities_search USING fts5(
                label, description, trash, content='', tokenize='trigram'
            )
            """
        ],
        # Without the extension every search reads all rows, and finds the same.
        "postgresql": [
            """
            DO $$ BEGIN
                CREATE EXTENSION IF NOT EXISTS pg_trgm;
                CREATE INDEX entities_search_label ON entities_entity
                    USING gin (UPPER(label) gin_trgm_ops);
                CREATE INDEX entities_search_description ON entities_entity
                    USING gin (UPPER(description) gin_trgm_ops);
            EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported THEN
                RAISE WARNING 'Searches will be slow: %', SQLERRM;
            END $$
            """
        ],
    },
    triggers={
        "sqlite": [
            f"CREATE TRIGGER entities_search_insert AFTER INSERT ON entities_entity BEGIN {_ADD} END",
            f"""
            CREATE TRIGGER entities_search_update AFTER UPDATE OF label, description, is_deleted
            ON entities_entity
            WHEN (OLD.label, OLD.description, OLD.is_deleted)
                IS NOT (NEW.label, NEW.description, NEW.is_deleted)
            BEGIN {_REMOVE} {_ADD} END
            """,
            f"CREATE TRIGGER entities_search_delete AFTER DELETE ON entities_entity BEGIN {_REMOVE} END",
        ],
        "postgresql": [],
    },
    fill={
        "sqlite": [
            "INSERT INTO entities_search (entities_search) VALUES ('delete-all')",
            _ADD_ALL,
        ],
        "postgresql": [],
    },
    drop={
        "sqlite": [
            *(f"DROP TRIGGER entities_search_{event}" for event in ("insert", "update", "delete")),
            "DROP TABLE entities_search",
        ],
        "postgresql": [
            "DROP INDEX IF EXISTS entities_search_label",
            "DROP INDEX IF EXISTS entities_search_description",
        ],
    },
)


def condition(text: str, *, column: Combinable, ids: tuple[int, int] | None = None) -> Q:
    """`column` is the id; `ids`, the first and last that matter, spare the rest of the search."""
    if not is_indexed(text):
        return _contains(text)
    found = RawSQL(
        "SELECT rowid FROM entities_search WHERE entities_search MATCH %s AND rowid BETWEEN %s AND %s",
        [_pattern(text), *(ids or ALL_IDS)],
    )
    return Q(In(column, found))


def is_indexed(text: str) -> bool:
    """Whether a table of its own tells where the text is: SQLite's; PostgreSQL's indexes are no table."""
    return connection.vendor == "sqlite" and len(text) >= INDEXED_LENGTH


def count(text: str, *, live: bool = False, at_most: int | None = None) -> int | None:
    """Without a look at the rows; None where the text is not indexed, or something is being removed."""
    if not is_indexed(text):
        return None
    query = "SELECT 1 FROM entities_search WHERE entities_search MATCH %s"
    if at_most is not None:
        query += f" LIMIT {at_most:d}"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*), {HIDDEN} FROM ({query})", [_pattern(text, live=live)])  # noqa: S608  (nothing from outside)
        number, some_are_hidden = cursor.fetchone()
        return None if some_are_hidden else int(number)


def _pattern(text: str, *, live: bool = False) -> str:
    quoted = '{{label description}} : "{}"'.format(text.replace('"', '""'))
    return f'({quoted}) NOT trash : "del"' if live else quoted


def _contains(text: str) -> Q:
    whole = Q()
    for spelling in _spellings(text) if connection.vendor == "sqlite" else [text]:
        whole |= Q(label__icontains=spelling) | Q(description__icontains=spelling)
    return whole


def _spellings(text: str) -> Iterator[str]:
    """SQLite itself knows the case of ASCII letters only."""
    return (
        "".join(letters)
        for letters in product(*({c} if c.isascii() else {c, c.lower(), c.upper()} for c in text))
    )
