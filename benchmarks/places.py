"""Where a benchmark with very many rows keeps them, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg


@contextmanager
def folder_for(needed: int, parent: Path | None) -> Iterator[Path]:
    """With room for so many bytes, on the disk of `parent` or on the one for temporary files."""
    with tempfile.TemporaryDirectory(prefix="store-benchmark-", dir=parent) as name:
        if shutil.disk_usage(name).free < needed:
            raise SystemExit(
                f"{needed / 1000**3:.1f} GB are needed in {Path(name).parent}: use --folder or --n."
            )
        yield Path(name)


@contextmanager
def database() -> Iterator[dict[str, str]]:
    """How the store is told of one of its own, on the server that TEST_DATABASE_URL names; else nothing."""
    server = os.environ.get("TEST_DATABASE_URL")
    if not server:
        yield {}
        return
    name = f"store_benchmark_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    try:
        yield {"DATABASE_URL": urlunsplit(urlsplit(server)._replace(path=f"/{name}"))}
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
