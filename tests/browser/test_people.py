"""The pages of people in a browser: what is pressed is what is done."""

from __future__ import annotations

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from intelligence.models import Face, KnownPerson, PersonDistinction
from tests.browser.browser import Browser
from tests.intelligence.people.conftest import Library
from tests.intelligence.people.facts import everything
from tests.intelligence.people_admin.conftest import match

pytestmark = pytest.mark.django_db(transaction=True)


def test_merging_people_and_undoing_it(browser: Browser, library: Library) -> None:
    ada, nameless = library.person("Ada", faces=2), library.person(faces=3)
    before = everything()
    browser.go("changelist")
    for person in (ada, nameless):
        browser.choose("person", person.pk)
    assert browser.reads(".deeds output") == "2 chosen"

    browser.press("Merge…")
    assert browser.reads("#content h1") == "Merge into Ada"
    assert "(3 faces) becomes Ada (2 faces), who stays" in browser.reads(".question")
    assert browser.pictures() == 5
    assert everything() == before

    browser.press("Merge into Ada")
    assert "(3 faces) into Ada" in browser.reads(".messagelist")
    assert list(KnownPerson.objects.all()) == [ada]

    browser.press("Undo")
    assert "Undid: " in browser.reads(".messagelist")
    assert everything() == before


def test_splitting_a_person_and_undoing_it(browser: Browser, library: Library) -> None:
    ada = library.person("Ada", faces=3)
    first, second, third = library.faces
    before = everything()
    browser.go("change", ada.pk)
    for face in (first, second):
        browser.choose("face", face.pk)
    browser.type("split-name", "Eve")

    browser.press("Split")
    assert "off Ada" in browser.reads(".messagelist")
    assert list(Face.objects.filter(known_person__name="Eve")) == [first, second]
    assert list(Face.objects.filter(known_person=ada)) == [third]
    assert PersonDistinction.objects.count() == 1

    browser.press("Undo")
    assert everything() == before


def test_undoing_from_the_list_of_what_was_done(browser: Browser, library: Library) -> None:
    ada = library.person("Ada", faces=1)
    before = everything()
    browser.go("change", ada.pk)
    browser.press("Hide from lists")
    browser.go("operations")
    assert "Hid Ada" in browser.reads(".told")
    browser.press("Undo")
    assert "(undone)" in browser.reads(".told")
    assert everything() == before


def test_choosing_with_the_keyboard_alone(browser: Browser, library: Library) -> None:
    people = [library.person(name, faces=1) for name in ("Ada", "Bob", "Eve")]
    browser.go("changelist", query="?order=id")
    first, _, last = browser.chrome.find_elements(By.NAME, "person")
    first.send_keys(Keys.SPACE)
    last.send_keys(Keys.SPACE)
    assert browser.reads(".deeds output") == "2 chosen"
    browser.button("Merge…").send_keys(Keys.ENTER)
    browser.wait(lambda: browser.reads("#content h1").startswith("Merge into"))
    shown = {each.text for each in browser.chrome.find_elements(By.CSS_SELECTOR, ".side h2")}
    assert shown == {people[0].name, people[2].name}


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_its_window(browser: Browser, library: Library, width: int) -> None:
    ada = library.person("Ada with a name that is longer than most others are", faces=9)
    eve = library.person("E" * 60, faces=2)
    face = library.face(standing="waiting")
    match(face, library.faces[0], 0.8, rule="another")
    match(library.faces[9], library.faces[0], 0.8, rule="another")
    browser.resize(width)
    for page, arguments, query in (
        ("changelist", (), ""),
        ("change", (ada.pk,), ""),
        ("merge", (), f"?person={ada.pk}&person={eve.pk}"),
        ("suggestions", (), ""),
        ("waiting", (), ""),
        ("move", (), f"?face={face.pk}"),
        ("remove_faces", (), f"?face={face.pk}"),
        ("operations", (), ""),
    ):
        browser.go(page, *arguments, query=query)
        assert browser.sticks_out() <= 0, page
        assert (browser.pictures() > 0) == (page != "operations"), page
