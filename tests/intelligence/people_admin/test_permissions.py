"""Who may see people, who may change them, and that nothing changes by looking."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from entities.guest_mode import set_guest_mode
from intelligence.models import KnownPerson, PeopleOperation
from intelligence.people_admin.admin import PAGES
from tests.intelligence.people.facts import everything
from tests.intelligence.people_admin.conftest import Library, Pages

pytestmark = pytest.mark.django_db

# Far from those that the database gives out itself.
ADA, BOB, FACE, OPERATION = 1001, 1002, 1003, 1004

FORMS: dict[str, dict[str, Any]] = {
    "change": {"step": "rename", "name": "Mallory"},
    "move": {"face": FACE, "name": "Mallory"},
    "remove_faces": {"face": FACE},
    "merge": {"survivor": ADA, "person": [ADA, BOB]},
    "suggestions": {"person": ADA, "other": BOB, "answer": "yes"},
    "waiting": {"face": FACE, "person": BOB, "answer": "yes"},
    "undo": {"operation": OPERATION},
}


@pytest.fixture(autouse=True)
def two_people(library: Library) -> list[KnownPerson]:
    set_guest_mode(is_on=False, by=None)
    made = [library.person(name, pk=pk) for pk, name in ((ADA, "Ada"), (BOB, "Bob"))]
    library.face(made[0], pk=FACE)
    library.face(made[1], pk=FACE + 1)
    PeopleOperation.objects.create(pk=OPERATION, kind="rename", summary="Named somebody")
    return made


def pages_of(*permissions: str) -> Pages:
    user = User.objects.create_user("somebody", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return Pages(client)


def path_of(pages: Pages, page: str) -> str:
    return pages.path(page, *([ADA] if page == "change" else []))


LOOKED_AT = [name for _, name, _ in PAGES if name != "undo"]


@pytest.mark.parametrize("page", LOOKED_AT)
@pytest.mark.parametrize(
    ("permissions", "status"),
    [
        ((), 403),
        (("view_knownperson",), 403),
        (("media_store_read", "media_store_write"), 403),
        (("view_knownperson", "media_store_read"), 200),
    ],
)
def test_who_may_look(page: str, permissions: tuple[str, ...], status: int) -> None:
    pages = pages_of(*permissions)
    query = {"person": [ADA, BOB], "face": [FACE]}
    before = everything()
    assert pages.client.get(path_of(pages, page), query).status_code == status
    assert everything() == before


@pytest.mark.parametrize("page", FORMS)
@pytest.mark.parametrize(
    "permissions",
    [
        ("view_knownperson", "media_store_read"),
        ("change_knownperson", "media_store_read"),
        ("view_knownperson", "media_store_read", "media_store_write"),
    ],
    ids=str,
)
def test_who_may_only_look_changes_nothing(page: str, permissions: tuple[str, ...]) -> None:
    pages = pages_of(*permissions)
    before = everything()
    assert pages.client.post(path_of(pages, page), FORMS[page]).status_code == 403
    assert everything() == before


@pytest.mark.parametrize("page", LOOKED_AT)
def test_who_may_only_look_is_offered_nothing(page: str) -> None:
    pages = pages_of("view_knownperson", "media_store_read")
    answer = pages.client.get(path_of(pages, page), {"person": [ADA, BOB], "face": [FACE]}).content.decode()
    posting = answer.split('method="post"')[1:]
    assert [form for form in posting if "<button" in form.split("</form>")[0]] == [
        form for form in posting if "logout" in form.split("</form>")[0]
    ]


def test_who_may_write_and_change_people_does() -> None:
    pages = pages_of("change_knownperson", "media_store_read", "media_store_write")
    pages.post("change", ADA, step="rename", name="Eve")
    assert KnownPerson.objects.get(pk=ADA).name == "Eve"


def test_guests_may_look_where_everybody_may() -> None:
    set_guest_mode(is_on=True, by=None)
    assert pages_of("view_knownperson").see("changelist").status_code == 200


@pytest.mark.parametrize("page", FORMS)
def test_a_form_from_elsewhere_is_refused(page: str, admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    pages = Pages(client)
    before = everything()
    assert client.post(path_of(pages, page), FORMS[page]).status_code == 403
    assert everything() == before


def test_undo_is_not_looked_at(pages: Pages) -> None:
    assert pages.client.get(pages.path("undo"), {"operation": OPERATION}).status_code == 405


def test_strangers_log_in_first(client: Client) -> None:
    for _, name, _ in PAGES:
        path = path_of(Pages(client), name)
        answer = client.get(path)
        assert answer.status_code == 302
        assert answer["Location"].startswith(reverse("admin:login"))


def test_people_are_neither_added_nor_removed(admin_client: Client) -> None:
    for page in ("add/", f"{ADA}/delete/", f"{ADA}/history/"):
        assert admin_client.post(f"/admin/intelligence/knownperson/{page}").status_code == 404
