"""Pictures of faces on pages behind a login: for who may see them, and kept by nobody in between."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client

from entities.guest_mode import set_guest_mode
from intelligence.models import Face
from tests.intelligence.people_admin.conftest import Library, Pages, match

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def pictures(pages: Pages, library: Library) -> list[str]:
    """The addresses of all that the pages show."""
    set_guest_mode(is_on=False, by=None)
    ada, bob = library.person("Ada", faces=1), library.person("Bob", faces=1)
    waiting = library.face(standing=Face.Standing.WAITING)
    match(library.faces[0], library.faces[1], 0.6, rule="another")
    match(waiting, library.faces[0], 0.6)
    found = []
    for page, arguments, query in (
        ("changelist", (), {}),
        ("change", (ada.pk,), {}),
        ("merge", (), {"person": [ada.pk, bob.pk]}),
        ("suggestions", (), {}),
        ("waiting", (), {}),
        ("move", (), {"face": waiting.pk}),
    ):
        answer = pages.see(page, *arguments, **query)
        assert "no-store" in directives(answer)
        shown = re.findall(r'<img src="([^"]+)"', answer.content.decode())
        assert shown, page
        found += shown
    assert len(set(found)) == len(library.faces)
    return found


def directives(answer: Any) -> set[str]:
    return {part.strip().partition("=")[0] for part in answer["Cache-Control"].split(",")}


def test_pictures_are_kept_by_browsers_only(pages: Pages, pictures: list[str]) -> None:
    for path in pictures:
        answer = pages.client.get(path)
        assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
        again = pages.client.get(path, headers={"If-None-Match": answer["ETag"]})
        part = pages.client.get(path, headers={"Range": "bytes=0-9"})
        head = pages.client.head(path)
        assert [each.status_code for each in (again, part, head)] == [304, 206, 200]
        for each in (answer, again, part, head):
            assert directives(each) == {"private", "max-age"}, each.status_code


def test_without_a_login_there_is_no_picture(pictures: list[str]) -> None:
    for path in pictures:
        answer = Client().get(path)
        assert answer.status_code in {401, 403}
        assert answer["Content-Type"] == "application/json"
