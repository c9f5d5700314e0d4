"""`make guards` takes minutes and is run by hand; that it still can be is looked at here."""

from __future__ import annotations

import pytest

from store_project.config import BASE_DIR
from tests.guards import GUARDS, Guard


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_each_guard_is_where_it_is_looked_for(guard: Guard) -> None:
    assert (BASE_DIR / guard.file).read_text().count(guard.line) == 1
    path, _, name = guard.test.partition("::")
    assert f"def {name.rpartition('::')[2].partition('[')[0]}(" in (BASE_DIR / path).read_text()
