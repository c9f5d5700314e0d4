"""Runs the tests that use the database once more, on PostgreSQL, in a database that is made and dropped here.

Without a server there is nothing to run on: with CI set that is a failure, else it is said and left.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

TESTS = ("tests/entities", "tests/intelligence")
"""Where queries, locks and transactions are written; what lies above is the same on any database."""


def main() -> int:
    server = {
        "host": os.environ.get("PGHOST", "127.0.0.1"),
        "port": os.environ.get("PGPORT", "5432"),
        "user": os.environ.get("PGUSER", "postgres"),
    }
    try:
        connection = psycopg.connect(
            make_conninfo(dbname="postgres", connect_timeout=5, **server), autocommit=True
        )
    except psycopg.OperationalError as error:
        print(f"Not run: there is no PostgreSQL to run on. {error}", file=sys.stderr)  # noqa: T201
        return 1 if os.environ.get("CI") else 0
    with connection, own_database(connection) as name:
        # No power cut is tested, so nothing waits for the disk.
        url = "postgresql://{user}@{host}:{port}/{name}?options=-c%20synchronous_commit%3Doff".format(
            name=name, **{key: quote(value, safe="") for key, value in server.items()}
        )
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-n", "auto", "-m", "database", *(sys.argv[1:] or TESTS)],
            env={**os.environ, "TEST_DATABASE_URL": url},
            check=False,
        ).returncode


@contextmanager
def own_database(connection: psycopg.Connection) -> Iterator[str]:
    """A name that no other run uses. Django makes the databases: `test_`, the name, and the worker's."""
    name = f"store_{os.getpid()}"
    try:
        yield name
    finally:
        made = "SELECT datname FROM pg_database WHERE starts_with(datname, %s)"
        for (database,) in connection.execute(made, [f"test_{name}"]).fetchall():
            statement = sql.SQL("DROP DATABASE {} WITH (FORCE)")
            connection.execute(statement.format(sql.Identifier(database)))


if __name__ == "__main__":
    sys.exit(main())
