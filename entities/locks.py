"""Locks of the database, held until the transaction ends.

PostgreSQL takes advisory locks. SQLite needs none: its transactions begin IMMEDIATE, one writer at a time.
"""

from __future__ import annotations

import hashlib

from django.db import connection, transaction

HIERARCHY = "entities.hierarchy"
"""Shared by whoever adds an entity under a parent, exclusive for whoever moves or removes one."""


def content(md5: str) -> str:
    """Held by whoever gives a file to an entity or takes one away."""
    return f"entities.content.{md5}"


def hold(name: str, *, shared: bool = False) -> None:
    """Take HIERARCHY before a content lock, never after: two orders would deadlock."""
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(f"the lock {name} needs a transaction to end with")
    if connection.vendor != "postgresql":
        return
    key = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), signed=True)
    function = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [key])
