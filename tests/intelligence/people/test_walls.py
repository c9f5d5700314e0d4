from __future__ import annotations

import pytest
from django.db import connection

from intelligence.people import listing
from intelligence.people.walls import best_faces
from tests.intelligence.people.conftest import Library
from tests.query_plans import plan, queries_asked

pytestmark = pytest.mark.django_db


def test_the_best_crops_of_each_come_first(library: Library) -> None:
    ada, bob, eve = (library.person(name) for name in ("Ada", "Bob", "Eve"))
    worst, best, middle = (library.face(ada, quality=quality) for quality in (0.2, 0.9, 0.5))
    of_bob = [library.face(bob, quality=0.1), library.face(bob, quality=0.1)]
    library.face(eve)
    found = best_faces([ada.pk, bob.pk], each=2)
    assert found == {ada.pk: [best, middle], bob.pk: of_bob}
    best.entity.is_deleted = True
    best.entity.save()
    assert best_faces([ada.pk], each=2) == {ada.pk: [middle, worst]}


def test_of_faces_lists_of_people_read_an_index_only(library: Library) -> None:
    """For counts, covers and the best crops: a face's row is far larger, and read where it is shown."""
    if connection.vendor == "postgresql":
        pytest.skip("PostgreSQL goes by how large its tables are")
    ada = library.person("Ada", faces=3)
    with queries_asked() as asked:
        assert listing.find_people(min_faces=2, order="faces").count() == 1
        assert list(listing.find_people(min_faces=2, order="faces")) == [ada]
        assert len(best_faces([ada.pk], each=2)[ada.pk]) == 2
    for query in asked:
        by_person = [step for step in plan(query) if "known_person_id=?" in step]
        assert by_person, query
        assert all("COVERING INDEX face_of_person" in step for step in by_person), by_person
