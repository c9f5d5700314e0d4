from __future__ import annotations

import pytest

from tests.processes import Manage

SHOWN = """
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SHOW jit")
    print("jit:", *cursor.fetchone())
"""


@pytest.mark.services("postgresql")
@pytest.mark.parametrize(("query", "jit"), [("", "off"), ("?options=-c%20jit%3Don", "on")])
def test_queries_are_not_compiled_unless_the_address_says_so(manage: Manage, query: str, jit: str) -> None:
    url = f"postgresql://postgres@127.0.0.1/postgres{query}"
    assert f"jit: {jit}" in manage("shell", "--no-imports", "-c", SHOWN, DATABASE_URL=url).stdout
