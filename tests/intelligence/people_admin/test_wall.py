from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from intelligence.models import Face
from intelligence.people_admin import wall
from tests.intelligence.people_admin.conftest import Library, Pages

pytestmark = pytest.mark.django_db


def listed(pages: Pages, **query: Any) -> list[str]:
    return [str(person) for person in pages.see("changelist", **query).context["page"]]


def test_people_are_shown_with_their_covers_names_and_counts(pages: Pages, library: Library) -> None:
    person = library.person("Ada <b>", faces=2)
    best = library.face(person, quality=0.99)
    page = pages.see("changelist").content.decode()
    assert f'src="{reverse("face-crop", args=[best.pk])}"' in page
    assert 'loading="lazy"' in page
    assert "Ada &lt;b&gt;" in page
    assert "3 faces" in page
    assert pages.path("change", person.pk) in page


def test_who_is_hidden_or_nameless_with_one_face_is_left_out(pages: Pages, library: Library) -> None:
    library.person("Ada", faces=1)
    nameless = library.person(faces=2)
    single = library.person(faces=1)
    library.person("Eve", faces=3, hidden=True)
    assert listed(pages) == [str(nameless), "Ada"]
    assert listed(pages, hidden="on") == ["Eve", str(nameless), "Ada"]
    assert listed(pages, single="on") == [str(nameless), "Ada", str(single)]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"who": "named"}, ["Bob", "Ada"]),
        ({"q": "ad"}, ["Ada"]),
        ({"order": "name", "who": "named"}, ["Ada", "Bob"]),
        ({"order": "id", "who": "named"}, ["Ada", "Bob"]),
        ({"q": "nobody of this name"}, []),
    ],
    ids=str,
)
def test_filters(pages: Pages, library: Library, query: dict[str, str], names: list[str]) -> None:
    library.person("Ada", faces=1)
    library.person("Bob", faces=2)
    library.person(faces=2)
    assert listed(pages, **query) == names


def test_without_a_name(pages: Pages, library: Library) -> None:
    library.person("Ada", faces=2)
    nameless = library.person(faces=2)
    assert listed(pages, who="unnamed") == [str(nameless)]


@pytest.mark.parametrize("query", [{"page": "x"}, {"page": "99"}, {"who": "x"}, {"order": "1"}, {"q": "\0"}])
def test_a_query_that_makes_no_sense_shows_people(
    pages: Pages, library: Library, query: dict[str, str]
) -> None:
    library.person("Ada", faces=1)
    assert listed(pages, **query) == ["Ada"]


def test_pages_are_turned_with_the_filters_kept(
    pages: Pages, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wall, "PEOPLE_ON_A_PAGE", 2)
    for name in "abc":
        library.person(name, faces=1)
    assert listed(pages, order="name", page=2) == ["c"]
    first = pages.see("changelist", order="name").content.decode()
    assert 'href="?order=name&amp;page=2"' in first


def test_the_wall_does_the_queries_of_one_person(pages: Pages, library: Library) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            pages.see("changelist")
        return len(asked)

    library.person("Ada", faces=1)
    queries()  # fills what Django caches for the whole process
    few = queries()
    for number in range(5):
        library.person(f"person {number}", faces=2)
    assert queries() == few


def test_a_face_in_the_trash_is_not_on_the_wall(pages: Pages, library: Library) -> None:
    person = library.person("Ada", faces=1)
    face = library.face(person, quality=0.99)
    face.entity.is_deleted = True
    face.entity.save()
    page = pages.see("changelist").content.decode()
    assert reverse("face-crop", args=[face.pk]) not in page
    assert reverse("face-crop", args=[Face.objects.exclude(pk=face.pk).get().pk]) in page
