from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from intelligence.models import Face, FaceDecision, KnownPerson, PeopleOperation, PersonDistinction
from tests.intelligence.people.facts import everything
from tests.intelligence.people_admin.conftest import Library, Pages, match

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(library: Library) -> KnownPerson:
    return library.person("Ada", faces=3)


def faces_of(person: KnownPerson) -> set[int]:
    return set(Face.objects.filter(known_person=person).values_list("pk", flat=True))


def test_the_weakest_faces_come_first(pages: Pages, library: Library, ada: KnownPerson) -> None:
    far, near, uncompared = library.faces
    match(far, near, 0.55)
    match(near, far, 0.9)
    confirmed = library.face(ada, assigned_by=Face.AssignedBy.USER)
    answer = pages.see("change", ada.pk)
    assert [face.pk for face in answer.context["page"]] == [far.pk, near.pk, uncompared.pk, confirmed.pk]
    page = answer.content.decode()
    assert page.index("0.55 alike") < page.index("0.90 alike") < page.index("not compared")
    assert reverse("face-crop", args=[far.pk]) in page


def test_somebody_who_has_gone_is_told_so(pages: Pages) -> None:
    answer = pages.see("change", 4711)
    assert "There is no person 4711 any more." in answer.content.decode()
    assert answer.context["title"] == "People"


def test_renaming_says_who_did_it_and_offers_to_undo(
    pages: Pages, ada: KnownPerson, admin_user: User
) -> None:
    before = everything()
    (said,) = pages.post("change", ada.pk, step="rename", name="Ada L.")
    operation = PeopleOperation.objects.get()
    assert f'name="operation" value="{operation.pk}"' in said
    assert operation.by == str(admin_user.pk)
    ada.refresh_from_db()
    assert ada.name == "Ada L."
    page = pages.see("change", ada.pk).content.decode()
    assert f", by {admin_user.get_username()}," in page

    (said,) = pages.post("undo", operation=operation.pk)
    assert said.startswith("Undid: ")
    assert everything() == before


def test_a_name_can_be_taken_away(pages: Pages, ada: KnownPerson) -> None:
    pages.post("change", ada.pk, step="rename", name="")
    ada.refresh_from_db()
    assert ada.name is None


def test_a_text_in_a_name_is_never_markup(pages: Pages, ada: KnownPerson) -> None:
    (said,) = pages.post("change", ada.pk, step="rename", name="<script>alert(1)</script>")
    assert "<script>" not in said
    assert "<script>alert" not in pages.see("change", ada.pk).content.decode()


def test_hiding_and_showing_again(pages: Pages, ada: KnownPerson) -> None:
    for step, hidden in (("hide", True), ("show", False)):
        pages.post("change", ada.pk, step=step)
        ada.refresh_from_db()
        assert ada.hidden is hidden


def test_a_cover_is_one_of_the_faces(pages: Pages, library: Library, ada: KnownPerson) -> None:
    first, second, _ = library.faces
    assert pages.post("change", ada.pk, step="cover", face=[first.pk, second.pk]) == [
        "Choose one face to be the cover."
    ]
    pages.post("change", ada.pk, step="cover", face=[second.pk])
    ada.refresh_from_db()
    assert ada.cover_face == second
    stranger = library.face(library.person("Bob"))
    (said,) = pages.post("change", ada.pk, step="cover", face=[stranger.pk])
    assert "is not one of Ada" in said
    pages.post("change", ada.pk, step="best_cover")
    ada.refresh_from_db()
    assert ada.cover_face is None


def test_confirming(pages: Pages, library: Library, ada: KnownPerson) -> None:
    first, second, _ = library.faces
    pages.post("change", ada.pk, step="confirm", face=[first.pk, second.pk])
    decisions = FaceDecision.objects.filter(person=ada, verdict="is").values_list("face_id", flat=True)
    assert set(decisions) == {first.pk, second.pk}


def test_what_somebody_else_has_moved_meanwhile_is_confirmed_as_it_was_shown(
    pages: Pages, library: Library, ada: KnownPerson
) -> None:
    face = library.faces[0]
    Face.objects.filter(pk=face.pk).update(known_person=library.person("Bob"))
    pages.post("change", ada.pk, step="confirm", face=[face.pk])
    face.refresh_from_db()
    assert face.known_person == ada


def test_rejecting(pages: Pages, library: Library, ada: KnownPerson) -> None:
    face = library.faces[0]
    pages.post("change", ada.pk, step="reject", face=[face.pk])
    face.refresh_from_db()
    assert face.known_person is None
    assert FaceDecision.objects.get().verdict == "is_not"


def test_splitting(pages: Pages, library: Library, ada: KnownPerson) -> None:
    before = everything()
    first, second, third = library.faces
    (said,) = pages.post("change", ada.pk, step="split", face=[first.pk, second.pk], name="Eve")
    assert "Undo" in said
    eve = KnownPerson.objects.get(name="Eve")
    assert (faces_of(ada), faces_of(eve)) == ({third.pk}, {first.pk, second.pk})
    assert PersonDistinction.objects.count() == 1
    pages.post("undo", operation=PeopleOperation.objects.get().pk, next=pages.path("change", eve.pk))
    assert everything() == before


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"step": "confirm"}, "Choose at least one face."),
        ({"step": "split"}, "Choose at least one face."),
        ({"step": "reject", "face": ["x"]}, "These are no ids; choose on the page."),
        ({"step": "reject", "face": ["9" * 30]}, "These are no ids; choose on the page."),
        ({"step": "reject", "face": ["4711"]}, "Face not found"),
        ({"step": "rename", "name": "x" * 256}, "Name: Ensure this value has at most 255"),
        ({"step": "x"}, "Choose what to do with one of the buttons."),
        ({}, "Choose what to do with one of the buttons."),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_told_and_changes_nothing(
    pages: Pages, ada: KnownPerson, form: dict[str, Any], said: str
) -> None:
    before = everything()
    (message,) = pages.post("change", ada.pk, **form)
    assert said in message
    assert everything() == before


def test_the_page_does_the_queries_of_one_face(pages: Pages, library: Library, ada: KnownPerson) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as asked:
            pages.see("change", ada.pk)
        return len(asked)

    pages.post("change", ada.pk, step="confirm", face=[library.faces[0].pk])
    queries()
    few = queries()
    for _ in range(5):
        library.face(ada)
        pages.post("change", ada.pk, step="confirm", face=[library.faces[-1].pk])
    pages.see("change", ada.pk)  # shows the messages
    assert queries() == few
