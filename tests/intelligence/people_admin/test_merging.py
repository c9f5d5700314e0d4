from __future__ import annotations

import pytest
from django.urls import reverse

from intelligence.models import Face, KnownPerson, PeopleOperation, PersonDistinction
from tests.factories import make_photo
from tests.intelligence.people.facts import everything
from tests.intelligence.people_admin.conftest import Library, Pages, match

pytestmark = pytest.mark.django_db


def test_the_question_shows_everybody_and_names_who_stays(pages: Pages, library: Library) -> None:
    nameless, ada = library.person(faces=3), library.person("Ada", faces=1)
    before = everything()
    answer = pages.see("merge", person=[nameless.pk, ada.pk])
    page = answer.content.decode()
    assert "Merge into Ada" in page
    for face in library.faces:
        assert reverse("face-crop", args=[face.pk]) in page
    assert f"survivor={nameless.pk}" in page
    other_way = pages.see("merge", person=[nameless.pk, ada.pk], survivor=nameless.pk).content.decode()
    assert f"Merge into {nameless}" in other_way
    assert "will be called <b>Ada</b>" in other_way
    assert everything() == before


def test_a_photo_of_both_is_pointed_out(pages: Pages, library: Library) -> None:
    one, other = library.person("Ada", faces=1), library.person("Eve", faces=1)
    both = [one.pk, other.pk]
    photo = make_photo(99)
    library.face(one, entity=photo)
    library.face(one, entity=photo)  # a user may say so
    assert "look twice" not in pages.see("merge", person=both).content.decode()
    library.face(other, entity=photo)
    assert "1 photo shows more than one" in pages.see("merge", person=both).content.decode()


def test_merging_tells_counts_and_is_undone(pages: Pages, library: Library) -> None:
    ada, eve = library.person("Ada", faces=2), library.person("Eve", faces=3)
    before = everything()
    (said,) = pages.post("merge", survivor=ada.pk, person=[ada.pk, eve.pk])
    assert "(3 faces) into Ada" in said
    assert "Undo" in said
    assert list(KnownPerson.objects.all()) == [ada]
    assert Face.objects.filter(known_person=ada).count() == 5
    pages.post("undo", operation=PeopleOperation.objects.get().pk)
    assert everything() == before


@pytest.mark.parametrize(
    ("people", "said"),
    [
        ([], "at least two people"),
        (["1"], "at least two people"),
        (["x", "y"], "no ids"),
        (["98", "99"], "not there"),
    ],
    ids=str,
)
def test_a_choice_that_makes_no_sense_leads_back(pages: Pages, people: list[str], said: str) -> None:
    answer = pages.see("merge", person=people)
    assert answer.context["title"] == "People"
    assert said in answer.content.decode()


def test_merging_with_somebody_who_has_gone_changes_nothing(pages: Pages, library: Library) -> None:
    ada = library.person("Ada", faces=1)
    before = everything()
    assert pages.post("merge", survivor=ada.pk, person=[ada.pk, 4711]) == ["Known person not found: 4711"]
    assert everything() == before


# --- Suggestions ---


@pytest.fixture
def alike(library: Library) -> tuple[KnownPerson, KnownPerson]:
    nameless, ada = library.person(faces=1), library.person("Ada", faces=1)
    match(library.faces[0], library.faces[1], 0.8, rule="another")
    return nameless, ada


def test_two_who_are_alike_are_shown_side_by_side(
    pages: Pages, library: Library, alike: tuple[KnownPerson, KnownPerson]
) -> None:
    page = pages.see("suggestions").content.decode()
    assert "the closest 0.80" in page
    for face in library.faces:
        assert reverse("face-crop", args=[face.pk]) in page


def test_yes_merges_into_who_has_a_name(pages: Pages, alike: tuple[KnownPerson, KnownPerson]) -> None:
    nameless, ada = alike
    (pair,) = pages.see("suggestions").context["pairs"]
    assert (pair["survivor"].person, pair["other"].person) == (ada, nameless)
    pages.post("suggestions", person=ada.pk, other=nameless.pk, answer="yes")
    assert list(KnownPerson.objects.all()) == [ada]
    assert pages.see("suggestions").context["pairs"] == []


def test_no_tells_them_apart_for_good(pages: Pages, alike: tuple[KnownPerson, KnownPerson]) -> None:
    nameless, ada = alike
    pages.post("suggestions", person=ada.pk, other=nameless.pk, answer="no")
    assert PersonDistinction.objects.get().person == nameless
    assert pages.see("suggestions").context["pairs"] == []


def test_later_puts_it_off_and_changes_nothing(pages: Pages, alike: tuple[KnownPerson, KnownPerson]) -> None:
    nameless, ada = alike
    before = everything()
    pages.post("suggestions", person=ada.pk, other=nameless.pk, answer="later")
    page = pages.see("suggestions")
    assert page.context["pairs"] == []
    assert "Ask me again about 1 put off" in page.content.decode()
    pages.post("suggestions", answer="again")
    assert len(pages.see("suggestions").context["pairs"]) == 1
    assert everything() == before


def test_another_answer_is_none(pages: Pages, alike: tuple[KnownPerson, KnownPerson]) -> None:
    nameless, ada = alike
    said = pages.post("suggestions", person=ada.pk, other=nameless.pk, answer="x")
    assert said == ["Say yes, no or later."]
    assert KnownPerson.objects.count() == 2
