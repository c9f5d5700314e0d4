"""How many entities there are, without counting them: for each parent, type and state of deletion, and of
all together for each MIME type too.

In PostgreSQL a number is split over slots, or all uploads would wait for one another to commit.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import BigIntegerField
from django.db.models.expressions import RawSQL

from entities.derived import Derived

EVERYWHERE = -1
ROOT = 0
"""Stand where the id of a parent stands."""

# A collection has no type, which is written as an empty text; so is the MIME type below a parent.
_TABLE = """
CREATE TABLE entities_count (
    parent_id bigint NOT NULL,
    type varchar(16) NOT NULL,
    mime_type varchar(255) NOT NULL,
    is_deleted boolean NOT NULL,
    slot smallint NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (parent_id, type, mime_type, is_deleted, slot)
)
"""

_FILL = [
    "DELETE FROM entities_count",
    """
INSERT INTO entities_count (parent_id, type, mime_type, is_deleted, slot, number)
SELECT -1, COALESCE(type, ''), COALESCE(mime_type, ''), is_deleted, 0, COUNT(*)
FROM entities_entity GROUP BY 2, 3, 4
UNION ALL
SELECT COALESCE(parent_id, 0), COALESCE(type, ''), '', is_deleted, 0, COUNT(*)
FROM entities_entity GROUP BY 1, 2, 4
""",
]


# --- SQLite: for each row ---------------------------------------------------------------------------------


def _add(row: str, difference: int) -> str:
    kind, rest = f"COALESCE({row}.type, '')", f"{row}.is_deleted, 0, {difference}"
    return f"""
        INSERT INTO entities_count (parent_id, type, mime_type, is_deleted, slot, number)
        VALUES (-1, {kind}, COALESCE({row}.mime_type, ''), {rest}),
            (COALESCE({row}.parent_id, 0), {kind}, '', {rest})
        ON CONFLICT DO UPDATE SET number = number + excluded.number;
    """  # noqa: S608  (nothing from outside)


_COUNTED = ("parent_id", "type", "mime_type", "is_deleted")
_OLD, _NEW = (", ".join(f"{age}.{column}" for column in _COUNTED) for age in ("OLD", "NEW"))
_FORGET_CHILDREN = "DELETE FROM entities_count WHERE parent_id = OLD.id;"

_SQLITE = (
    f"CREATE TRIGGER entities_count_insert AFTER INSERT ON entities_entity BEGIN {_add('NEW', 1)} END",
    f"""
    CREATE TRIGGER entities_count_update AFTER UPDATE OF {", ".join(_COUNTED)} ON entities_entity
    WHEN ({_OLD}) IS NOT ({_NEW})
    BEGIN {_add("OLD", -1)} {_add("NEW", 1)} END
    """,
    f"""
    CREATE TRIGGER entities_count_delete AFTER DELETE ON entities_entity
    BEGIN {_add("OLD", -1)} {_FORGET_CHILDREN} END
    """,
)


# --- PostgreSQL: for each statement, as a row gets slower with each update in the same transaction --------

_CHANGES = {
    "INSERT": "SELECT 1 AS difference, * FROM new_rows",
    "UPDATE": "SELECT 1 AS difference, * FROM new_rows UNION ALL SELECT -1, * FROM old_rows",
    "DELETE": "SELECT -1 AS difference, * FROM old_rows",
}


def _follow(operation: str, changes: str) -> tuple[str, str]:
    name = f"entities_count_{operation.lower()}"
    tables = [f"{age} TABLE AS {age}_rows" for age in ("new", "old") if f"{age}_rows" in changes]
    forget = "DELETE FROM entities_count WHERE parent_id IN (SELECT id FROM old_rows);"
    return (
        f"""
        CREATE FUNCTION {name}() RETURNS trigger AS $$
        BEGIN
            INSERT INTO entities_count (parent_id, type, mime_type, is_deleted, slot, number)
            SELECT parent, COALESCE(type, ''), mime, is_deleted, pg_backend_pid() % 64, SUM(difference)
            FROM ({changes}) AS changes, LATERAL (
                VALUES (-1, COALESCE(mime_type, '')), (COALESCE(parent_id, 0), '')
            ) AS places (parent, mime)
            GROUP BY 1, 2, 3, 4 HAVING SUM(difference) <> 0
            ORDER BY 1, 2, 3, 4 -- all lock in one order
            ON CONFLICT (parent_id, type, mime_type, is_deleted, slot)
            DO UPDATE SET number = entities_count.number + excluded.number;
            {forget if operation == "DELETE" else ""}
            RETURN NULL;
        END
        $$ LANGUAGE plpgsql
        """,  # noqa: S608  (nothing from outside)
        f"""
        CREATE TRIGGER {name} AFTER {operation} ON entities_entity REFERENCING {" ".join(tables)}
        FOR EACH STATEMENT EXECUTE FUNCTION {name}()
        """,
    )


_POSTGRESQL = (
    *(statement for operation, changes in _CHANGES.items() for statement in _follow(operation, changes)),
    """
    CREATE FUNCTION entities_count_truncate() RETURNS trigger AS $$
    BEGIN
        DELETE FROM entities_count;
        RETURN NULL;
    END
    $$ LANGUAGE plpgsql
    """,
    """
    CREATE TRIGGER entities_count_truncate AFTER TRUNCATE ON entities_entity
    FOR EACH STATEMENT EXECUTE FUNCTION entities_count_truncate()
    """,
)

COUNTS = Derived(
    name="entities_count",
    create={"sqlite": [_TABLE], "postgresql": [_TABLE]},
    triggers={"sqlite": _SQLITE, "postgresql": _POSTGRESQL},
    fill={"sqlite": _FILL, "postgresql": _FILL},
    drop={
        "sqlite": [
            *(f"DROP TRIGGER entities_count_{event}" for event in ("insert", "update", "delete")),
            "DROP TABLE entities_count",
        ],
        "postgresql": [
            *(
                f"DROP FUNCTION entities_count_{event}() CASCADE"
                for event in ("insert", "update", "delete", "truncate")
            ),
            "DROP TABLE entities_count",
        ],
    },
)


@dataclass(frozen=True)
class Kind:
    """What to count; None leaves a question open."""

    parent_id: int | None = None
    type: str | None = None
    mime_type: str | None = None
    """Not together with a parent."""
    is_collection: bool | None = None
    is_deleted: bool | None = None


HIDDEN = "EXISTS (SELECT 1 FROM entities_removal)"
"""Whether anything that is counted is being removed, so that nobody shall see it."""


def count(kind: Kind) -> int:
    number = count_visible(kind, visible=False)
    assert number is not None
    return number


def count_visible(kind: Kind, *, visible: bool = True) -> int | None:
    """None while something is being removed: then it has to be counted."""
    parent_id = EVERYWHERE if kind.parent_id is None else kind.parent_id
    wanted = {"parent_id": parent_id, "type": kind.type, "mime_type": kind.mime_type}
    wanted |= {"is_deleted": kind.is_deleted}
    conditions = {f"{column} = %s": value for column, value in wanted.items() if value is not None}
    if kind.is_collection is not None:
        conditions["(type = '') = %s"] = kind.is_collection
    query = f"SELECT COALESCE(SUM(number), 0), {HIDDEN} FROM entities_count WHERE {' AND '.join(conditions)}"  # noqa: S608  (columns of our own)
    with connection.cursor() as cursor:
        cursor.execute(query, list(conditions.values()))
        number, some_are_hidden = cursor.fetchone()
        return None if visible and some_are_hidden else int(number)


def by_type() -> list[tuple[str, bool, int]]:
    """Type, whether deleted, number; a collection has an empty type."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT type, is_deleted, SUM(number) FROM entities_count WHERE parent_id = %s GROUP BY 1, 2",
            [EVERYWHERE],
        )
        return [(kind, bool(is_deleted), int(number)) for kind, is_deleted, number in cursor.fetchall()]


_LIES = """
SELECT DISTINCT parent_id FROM (
    SELECT parent_id, type, mime_type, is_deleted, SUM(number) AS number FROM (
        SELECT parent_id, type, mime_type, is_deleted, number FROM entities_count
        UNION ALL
        SELECT -1, COALESCE(type, ''), COALESCE(mime_type, ''), is_deleted, -COUNT(*)
        FROM entities_entity GROUP BY 2, 3, 4
        UNION ALL
        SELECT COALESCE(parent_id, 0), COALESCE(type, ''), '', is_deleted, -COUNT(*)
        FROM entities_entity GROUP BY 1, 2, 4
    ) AS both_sides GROUP BY 1, 2, 3, 4 HAVING SUM(number) <> 0
) AS differences ORDER BY 1
"""


def miscounted() -> list[int]:
    """Parents whose numbers are not those of their rows; ROOT and EVERYWHERE too. Reads all rows once."""
    with connection.cursor() as cursor:
        cursor.execute(_LIES)
        return [parent_id for (parent_id,) in cursor.fetchall()]


@transaction.atomic
def count_again() -> None:
    """In a transaction: writers wait until it ends, a second or two for a million rows."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("LOCK TABLE entities_entity IN SHARE ROW EXCLUSIVE MODE")
        for statement in _FILL:
            cursor.execute(statement)


def live_children() -> RawSQL:
    """For each entity of a query, those directly in it that are not deleted."""
    return RawSQL(
        """
        SELECT CAST(COALESCE(SUM(number), 0) AS bigint) FROM entities_count
        WHERE entities_count.parent_id = entities_entity.id AND NOT entities_count.is_deleted
        """,
        [],
        output_field=BigIntegerField(),
    )
