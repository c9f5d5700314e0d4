from __future__ import annotations

import pytest
from django.urls import reverse

from intelligence.models import Face, FaceDecision, KnownPerson, PeopleOperation
from tests.intelligence.people.facts import everything
from tests.intelligence.people_admin.conftest import Library, Pages, match

pytestmark = pytest.mark.django_db


# --- Who is it? ---


def test_those_who_are_alike_are_offered_first_but_not_the_present_one(
    pages: Pages, library: Library
) -> None:
    face, other, looked = library.face(), library.face(), library.face()
    eve = library.person(faces=1)
    bob, ada = library.person("Bob", faces=1), library.person("Ada", faces=2)
    Face.objects.filter(pk=face.pk).update(known_person=bob, assigned_by="auto")
    Face.objects.filter(pk=looked.pk).update(known_person=eve, assigned_by="auto")
    match(face, looked, 0.7)
    offered = pages.see("move", face=[face.pk, other.pk]).context["candidates"]
    assert [person.pk for person in offered] == [eve.pk, ada.pk]


def test_anybody_is_found_by_name(pages: Pages, library: Library) -> None:
    face = library.face()
    library.person("Bob", faces=1)
    hidden = library.person("Ada", hidden=True)
    answer = pages.see("move", face=face.pk, q="ad")
    assert answer.context["candidates"] == [hidden]


def test_faces_go_to_whom_is_chosen_and_back(pages: Pages, library: Library) -> None:
    ada, bob = library.person("Ada", faces=2), library.person("Bob")
    before = everything()
    chosen = [face.pk for face in library.faces]
    back = pages.path("change", bob.pk)
    (said,) = pages.post("move", face=chosen, person=bob.pk, name="", next=back)
    assert "is Bob" in said
    assert set(Face.objects.values_list("known_person", "assigned_by")) == {(bob.pk, "user")}
    pages.post("undo", operation=PeopleOperation.objects.get().pk)
    assert everything() == before
    assert ada.faces.count() == 2


def test_faces_go_to_somebody_new(pages: Pages, library: Library) -> None:
    face = library.face()
    pages.post("move", face=face.pk, name="Eve")
    face.refresh_from_db()
    assert face.known_person == KnownPerson.objects.get(name="Eve")


def test_faces_that_have_gone_lead_back(pages: Pages, library: Library) -> None:
    ada = library.person("Ada")
    answer = pages.see("move", face=4711, next=pages.path("change", ada.pk))
    assert answer.context["title"] == "Ada"


@pytest.mark.parametrize("elsewhere", ["https://elsewhere.example/", "//elsewhere.example", "javascript:x"])
def test_nobody_is_led_elsewhere(pages: Pages, library: Library, elsewhere: str) -> None:
    face = library.face()
    answer = pages.client.post(pages.path("move"), {"face": face.pk, "next": elsewhere})
    assert answer["Location"] == pages.path("changelist")
    assert elsewhere not in pages.see("move", face=face.pk, next=elsewhere).content.decode()


# --- Not a face ---


def test_what_is_no_face_is_removed_after_a_question(pages: Pages, library: Library) -> None:
    ada = library.person("Ada", faces=2)
    gone, kept = library.faces
    question = pages.see("remove_faces", face=gone.pk).content.decode()
    assert "the photo is looked at again" in question
    assert reverse("face-crop", args=[gone.pk]) in question
    assert Face.objects.count() == 2
    said = pages.post("remove_faces", face=[gone.pk, 4711], next=pages.path("change", ada.pk))
    assert said == ["Removed 1 picture."]
    assert Face.objects.get() == kept


# --- Faces that wait ---


@pytest.fixture
def waiting(library: Library) -> Face:
    """Is most like Ada, a little like Bob."""
    face = library.face(standing=Face.Standing.WAITING)
    for name, similarity in (("Bob", 0.6), ("Ada", 0.7)):
        match(face, library.face(library.person(name)), similarity, rule="another")
    return face


def proposed(pages: Pages) -> list[tuple[int, str | None]]:
    waiting = pages.see("waiting").context["waiting"]
    return [(face.pk, person and person.name) for face, person in waiting]


def test_the_closest_are_asked_about_first(pages: Pages, library: Library, waiting: Face) -> None:
    closer, lonely = (library.face(standing=Face.Standing.WAITING) for _ in range(2))
    match(closer, library.faces[1], 0.9, rule="another")
    assert proposed(pages) == [(closer.pk, "Bob"), (waiting.pk, "Ada"), (lonely.pk, None)]
    page = pages.see("waiting").content.decode()
    assert "Is it <strong>Ada</strong>?" in page
    assert "Like nobody" in page


def test_yes_gives_the_face_to_the_person(pages: Pages, waiting: Face) -> None:
    ada = KnownPerson.objects.get(name="Ada")
    pages.post("waiting", face=waiting.pk, person=ada.pk, answer="yes")
    waiting.refresh_from_db()
    assert (waiting.known_person, waiting.assigned_by) == (ada, "user")
    assert proposed(pages) == []


def test_no_is_remembered_and_the_next_is_proposed(pages: Pages, waiting: Face) -> None:
    ada = KnownPerson.objects.get(name="Ada")
    pages.post("waiting", face=waiting.pk, person=ada.pk, answer="no")
    decision = FaceDecision.objects.get()
    assert (decision.face, decision.person, decision.verdict) == (waiting, ada, "is_not")
    assert proposed(pages) == [(waiting.pk, "Bob")]


@pytest.mark.parametrize(("answer", "said"), [("x", "Say yes or no."), ("", "Say yes or no.")])
def test_another_answer_is_none(pages: Pages, waiting: Face, answer: str, said: str) -> None:
    ada = KnownPerson.objects.get(name="Ada")
    assert pages.post("waiting", face=waiting.pk, person=ada.pk, answer=answer) == [said]
    assert not FaceDecision.objects.exists()
