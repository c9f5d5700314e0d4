from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from intelligence import people
from intelligence.models import PeopleOperation
from tests.intelligence.people_admin.conftest import Library, Pages

pytestmark = pytest.mark.django_db


def told(pages: Pages) -> list[tuple[str, str, bool]]:
    found = pages.see("operations").context["operations"]
    return [(each.operation.kind, each.by, each.can_be_undone) for each in found]


def test_what_was_done_is_told_with_who_and_when(pages: Pages, library: Library, admin_user: User) -> None:
    ada = library.person("Ada")
    people.rename(person_id=ada.pk, name="Ada L.", by=str(admin_user.pk))
    people.set_hidden(person_id=ada.pk, hidden=True, by="token-7")
    people.set_hidden(person_id=ada.pk, hidden=False, by=None)
    assert told(pages) == [
        ("hide", "somebody unknown", True),
        ("hide", "token-7", True),
        ("rename", admin_user.get_username(), True),
    ]
    page = pages.see("operations").content.decode()
    assert f"Named Ada ({ada.pk}) Ada L., by {admin_user.get_username()}, <time" in page
    assert "ago</time>" in page


def test_what_was_undone_cannot_be_undone_again(pages: Pages, library: Library, admin_user: User) -> None:
    ada = library.person("Ada")
    operation = people.rename(person_id=ada.pk, name="Eve", by=None)
    pages.post("undo", operation=operation.pk)
    assert told(pages) == [
        ("undo", admin_user.get_username(), False),
        ("rename", "somebody unknown", False),
    ]
    (said,) = pages.post("undo", operation=operation.pk)
    assert "was undone already" in said


def test_what_stands_in_the_way_is_named(pages: Pages, library: Library) -> None:
    ada = library.person("Ada")
    first = people.rename(person_id=ada.pk, name="Eve", by=None)
    people.rename(person_id=ada.pk, name="Eva", by=None)
    (said,) = pages.post("undo", operation=first.pk)
    assert "Undo that first" in said
    ada.refresh_from_db()
    assert ada.name == "Eva"


@pytest.mark.parametrize("operation", ["", "x", "4711", "9" * 40])
def test_an_unknown_operation_is_told(pages: Pages, operation: str) -> None:
    assert len(pages.post("undo", operation=operation)) == 1
    assert not PeopleOperation.objects.exists()


def test_the_list_does_the_queries_of_one_operation(pages: Pages, library: Library) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            pages.see("operations")
        return len(asked)

    users = [User.objects.create_user(f"user {number}") for number in range(6)]
    ada = library.person("Ada")
    people.rename(person_id=ada.pk, name="A", by=str(users[0].pk))
    queries()
    few = queries()
    for user in users[1:]:
        people.rename(person_id=ada.pk, name=user.username, by=str(user.pk))
    assert queries() == few
