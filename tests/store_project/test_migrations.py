"""Migrations that a live database bears: of the SQL that PostgreSQL is given, nothing that locks a table for
as long as it is large, nor takes away what the release before still uses while it runs beside the new one.

Tables that a migration makes itself are empty, and may be treated in any way.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.processes import Manage

FIRST_RELEASE = {"entities": 5, "intelligence": 8}
"""Up to these numbers there was no installation to be upgraded."""

PROGRAM = """
import json
from django.db import connection
from django.db.migrations.loader import MigrationLoader
loader = MigrationLoader(connection, replace_migrations=False)
print("SQL:" + json.dumps({
    f"{app}.{name}": loader.collect_sql([(loader.graph.nodes[app, name], False)])
    for app, name in sorted(loader.disk_migrations) if app in ("entities", "intelligence")
}))
"""

UNSAFE = {
    r"ADD COLUMN (?!.*\bDEFAULT\b).*NOT NULL": "older processes insert without it",
    r"ALTER COLUMN \S+ DROP DEFAULT": "older processes insert without it: give the field a db_default",
    r"ALTER COLUMN \S+ SET NOT NULL": "reads the whole table under a lock",
    r"ALTER COLUMN \S+ TYPE": "may write the whole table anew under a lock",
    r"DROP COLUMN": "older processes still read it: first stop using it, drop it a release later",
    r"DROP TABLE": "older processes still use it",
    r"RENAME": "older processes know the old name",
    r"ADD CONSTRAINT (?!.*NOT VALID)": "checks the whole table under a lock: add it NOT VALID, then validate",
    r"CREATE (UNIQUE )?INDEX (?!CONCURRENTLY)": "no writes meanwhile: use AddIndexConcurrently",
}


def faults(statements: list[str]) -> Iterator[str]:
    made = set(re.findall(r'CREATE TABLE "?(\w+)', "\n".join(statements)))
    for statement in statements:
        if re.search(rf'(?:TABLE|ON) "?(?:{"|".join(made or {"-"})})\b', statement):
            continue
        for pattern, reason in UNSAFE.items():
            if re.search(pattern, statement):
                yield f"{statement} -- {reason}"


@pytest.mark.services("postgresql")
def test_every_migration_is_safe_on_a_live_database(manage: Manage) -> None:
    done = manage(
        "shell", "--no-imports", "-c", PROGRAM, DATABASE_URL="postgresql://postgres@127.0.0.1/postgres"
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SQL:")]
    sql: dict[str, list[str]] = json.loads(line.removeprefix("SQL:"))
    assert len(sql) > len(FIRST_RELEASE)
    found = {name: list(faults(statements)) for name, statements in sql.items() if _is_later(name)}
    assert {name: told for name, told in found.items() if told} == {}


def _is_later(name: str) -> bool:
    app, _, migration = name.partition(".")
    return int(migration[:4]) > FIRST_RELEASE[app]


@pytest.mark.parametrize(
    "statement",
    [
        'ALTER TABLE "entities_entity" ALTER COLUMN "x" DROP DEFAULT',
        'ALTER TABLE "entities_entity" ADD COLUMN "x" integer NOT NULL',
        'ALTER TABLE "entities_entity" ALTER COLUMN "x" SET NOT NULL',
        'ALTER TABLE "entities_entity" ALTER COLUMN "x" TYPE bigint USING "x"::bigint',
        'ALTER TABLE "entities_entity" DROP COLUMN "x" CASCADE',
        'ALTER TABLE "entities_entity" RENAME COLUMN "x" TO "y"',
        'ALTER TABLE "entities_entity" ADD CONSTRAINT "c" CHECK ("x" > 0)',
        'CREATE INDEX "i" ON "entities_entity" ("x")',
        'CREATE UNIQUE INDEX "i" ON "entities_entity" ("x")',
        'DROP TABLE "entities_entity" CASCADE',
    ],
)
def test_what_is_unsafe_is_found(statement: str) -> None:
    assert list(faults(['CREATE TABLE "another" ("id" bigint)', statement]))


@pytest.mark.parametrize(
    "statement",
    [
        'ALTER TABLE "entities_entity" ADD COLUMN "x" integer NULL',
        'ALTER TABLE "entities_entity" ADD COLUMN "x" integer DEFAULT 0 NOT NULL',
        'ALTER TABLE "entities_entity" ADD CONSTRAINT "c" CHECK ("x" > 0) NOT VALID',
        'CREATE INDEX CONCURRENTLY "i" ON "entities_entity" ("x")',
        'CREATE INDEX "i" ON "another" ("x")',
        'ALTER TABLE "another" ADD CONSTRAINT "c" UNIQUE ("x")',
    ],
)
def test_what_is_safe_is_let_be(statement: str) -> None:
    assert list(faults(['CREATE TABLE "another" ("id" bigint)', statement])) == []
