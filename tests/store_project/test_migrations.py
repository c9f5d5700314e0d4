"""Migrations that a live database bears: of the SQL that PostgreSQL is given, nothing that locks a table for
as long as it is large, nor takes away what the release before still uses while it runs beside the new one.

Tables that a migration makes itself are empty, and may be treated in any way.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from store_project.config import BASE_DIR
from tests.processes import Manage

FIRST_RELEASE = {"entities": 5, "intelligence": 8}
"""Its last migrations. They are let be: nobody has upgraded to it, so they run on a database
that is empty and serves nobody. A number here is never raised for a migration that comes after a release."""

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

POSTGRESQL = {"DATABASE_URL": "postgresql://postgres@127.0.0.1/postgres"}

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


def found_in(manage: Manage, **env: str) -> dict[str, list[str]]:
    """What is unsafe, by migration, of those after the first release."""
    done = manage("shell", "--no-imports", "-c", PROGRAM, **{**POSTGRESQL, **env})
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SQL:")]
    sql: dict[str, list[str]] = json.loads(line.removeprefix("SQL:"))
    assert len(sql) > len(FIRST_RELEASE)
    found = {name: list(faults(statements)) for name, statements in sql.items() if _is_later(name)}
    return {name: told for name, told in found.items() if told}


@pytest.mark.services("postgresql")
def test_every_migration_is_safe_on_a_live_database(manage: Manage) -> None:
    assert found_in(manage) == {}


def _is_later(name: str) -> bool:
    app, _, migration = name.partition(".")
    return int(migration[:4]) > FIRST_RELEASE[app]


PLANTED = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("entities", "{last}")]
    operations = [
        migrations.AddField("entity", "rating", models.IntegerField(default=0)),
        migrations.AddIndex("entity", models.Index("rating", name="by_rating")),
    ]
"""


@pytest.mark.services("postgresql")
def test_a_new_one_that_is_unsafe_is_named(manage: Manage, tmp_path: Path) -> None:
    migrations = tmp_path / "planted"
    shutil.copytree(BASE_DIR / "entities" / "migrations", migrations)
    *_, last = sorted(path.stem for path in migrations.glob("0*.py"))
    name = f"{int(last[:4]) + 1:04}_planted"
    (migrations / f"{name}.py").write_text(PLANTED.format(last=last))
    (tmp_path / "with_planted.py").write_text(
        "from store_project.settings import *\nMIGRATION_MODULES = {'entities': 'planted'}\n"
    )
    found = found_in(manage, DJANGO_SETTINGS_MODULE="with_planted", PYTHONPATH=str(tmp_path))
    assert list(found) == [f"entities.{name}"]
    reasons = " ".join(found[f"entities.{name}"])
    assert "older processes insert without it" in reasons
    assert "use AddIndexConcurrently" in reasons


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
