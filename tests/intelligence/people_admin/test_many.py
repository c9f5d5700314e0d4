"""The pages with 5,000 people and 100,000 faces."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from intelligence.models import Face
from tests.intelligence.people_admin.conftest import Pages
from tests.intelligence.people_admin.many import FACES, put_many

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]

SECONDS = 5.0
"""Many times what it takes here, and far less than counting the faces of each person one by one."""


def test_pages_stay_quick_with_many_people(pages: Pages) -> None:
    first = put_many()[0]
    assert Face.objects.count() == FACES
    everywhere: list[tuple[str, tuple[int, ...], dict[str, Any], int]] = [
        ("changelist", (), {}, 7),
        ("changelist", (), {"single": "on", "order": "name", "page": 9}, 7),
        ("changelist", (), {"q": "person 49"}, 7),
        ("change", (first,), {}, 10),
        ("merge", (), {"person": [first, first + 1]}, 9),
        ("suggestions", (), {}, 9),
        ("waiting", (), {}, 9),
        ("operations", (), {}, 7),
    ]
    took = {}
    for page, arguments, query, most in everywhere:
        began = time.perf_counter()
        with CaptureQueriesContext(connection) as asked:
            pages.see(page, *arguments, **query)
        took[f"{page} {query}"] = time.perf_counter() - began
        assert len(asked) <= most, [each["sql"] for each in asked]

    assert max(took.values()) < SECONDS, took
