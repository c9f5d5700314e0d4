"""Finding text in labels and descriptions: every part of three characters is indexed by the database."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from django.db import connection
from django.db.models import F, Q
from django.db.models.expressions import RawSQL
from django.db.models.lookups import In

from entities.derived import Derived

INDEXED_LENGTH = 3
"""A shorter text is looked for in each row."""

_ADD = """
INSERT INTO entities_search (rowid, label, description) VALUES (NEW.id, NEW.label, NEW.description);
"""
_REMOVE = """
INSERT INTO entities_search (entities_search, rowid, label, description)
VALUES ('delete', OLD.id, OLD.label, OLD.description);
"""

SEARCH = Derived(
    name="entities_search",
    create={
        "sqlite": [
            """
            CREATE VIRTUAL TABLE entities_search USING fts5(
                label, description, content='entities_entity', content_rowid='id', tokenize='trigram'
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
            CREATE TRIGGER entities_search_update AFTER UPDATE OF label, description ON entities_entity
            WHEN (OLD.label, OLD.description) IS NOT (NEW.label, NEW.description)
            BEGIN {_REMOVE} {_ADD} END
            """,
            f"CREATE TRIGGER entities_search_delete AFTER DELETE ON entities_entity BEGIN {_REMOVE} END",
        ],
        "postgresql": [],
    },
    fill={
        "sqlite": ["INSERT INTO entities_search (entities_search) VALUES ('rebuild')"],
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


def condition(text: str, *, many: bool) -> Q:
    if connection.vendor != "sqlite":
        return _contains(text)
    if len(text) < INDEXED_LENGTH:
        return _any(_contains(spelling) for spelling in _spellings(text))
    quoted = '"{}"'.format(text.replace('"', '""'))
    found = RawSQL("SELECT rowid FROM entities_search WHERE entities_search MATCH %s", [quoted])
    # An expression has no index: the rows are read in the order asked for, and tried.
    return Q(In(F("id") + 0, found)) if many else Q(pk__in=found)


def _contains(text: str) -> Q:
    return Q(label__icontains=text) | Q(description__icontains=text)


def _spellings(text: str) -> Iterator[str]:
    """SQLite itself knows the case of ASCII letters only."""
    return ("".join(letters) for letters in product(*({c, c.lower(), c.upper()} for c in text)))


def _any(conditions: Iterator[Q]) -> Q:
    whole = Q()
    for one in conditions:
        whole |= one
    return whole
