"""How many entities there are, without counting them: for each parent, type and state of deletion.

In PostgreSQL a number is split over slots, or all uploads would wait for one another to commit.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Sum

from entities.derived import Derived
from entities.models import EntityCount

_TABLE = """
CREATE TABLE entities_count (
    parent_id bigint NOT NULL,
    type varchar(16) NOT NULL,
    is_deleted boolean NOT NULL,
    slot smallint NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (parent_id, type, is_deleted, slot)
)
"""

_FILL = [
    "DELETE FROM entities_count",
    """
INSERT INTO entities_count (parent_id, type, is_deleted, slot, number)
SELECT -1, COALESCE(type, ''), is_deleted, 0, COUNT(*) FROM entities_entity GROUP BY 2, 3
UNION ALL
SELECT COALESCE(parent_id, 0), COALESCE(type, ''), is_deleted, 0, COUNT(*)
FROM entities_entity GROUP BY 1, 2, 3
""",
]


# --- SQLite: for each row ---------------------------------------------------------------------------------


def _add(row: str, difference: int) -> str:
    kind = f"COALESCE({row}.type, ''), {row}.is_deleted"
    return f"""
        INSERT INTO entities_count (parent_id, type, is_deleted, slot, number)
        VALUES (-1, {kind}, 0, {difference}), (COALESCE({row}.parent_id, 0), {kind}, 0, {difference})
        ON CONFLICT DO UPDATE SET number = number + excluded.number;
    """  # noqa: S608  (nothing from outside)


_FORGET_CHILDREN = "DELETE FROM entities_count WHERE parent_id = OLD.id;"

_SQLITE = (
    f"CREATE TRIGGER entities_count_insert AFTER INSERT ON entities_entity BEGIN {_add('NEW', 1)} END",
    f"""
    CREATE TRIGGER entities_count_update AFTER UPDATE OF parent_id, type, is_deleted ON entities_entity
    WHEN (OLD.parent_id, OLD.type, OLD.is_deleted) IS NOT (NEW.parent_id, NEW.type, NEW.is_deleted)
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
            INSERT INTO entities_count (parent_id, type, is_deleted, slot, number)
            SELECT parent, COALESCE(type, ''), is_deleted, pg_backend_pid() % 64, SUM(difference)
            FROM ({changes}) AS changes, LATERAL (VALUES (-1), (COALESCE(parent_id, 0))) AS parents (parent)
            GROUP BY 1, 2, 3 HAVING SUM(difference) <> 0
            ORDER BY 1, 2, 3 -- all lock in one order
            ON CONFLICT (parent_id, type, is_deleted, slot)
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

    parent_id: int = EntityCount.EVERYWHERE
    type: str | None = None
    is_collection: bool | None = None
    is_deleted: bool | None = None


def count(kind: Kind) -> int:
    rows = EntityCount.objects.filter(parent_id=kind.parent_id)
    if kind.type is not None:
        rows = rows.filter(type=kind.type)
    if kind.is_collection is not None:
        rows = rows.filter(type="") if kind.is_collection else rows.exclude(type="")
    if kind.is_deleted is not None:
        rows = rows.filter(is_deleted=kind.is_deleted)
    return rows.aggregate(number=Sum("number"))["number"] or 0
