"""`search_query` of the list: text anywhere in a label or a description."""

from __future__ import annotations

import pytest

from entities import services
from entities.api import plans
from entities.models import Entity
from tests.entities.api.client import Api, trash
from tests.factories import make_collection, make_photo

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["few hits", "many hits"], autouse=True)
def strategy(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that the database is asked with depends on how much is found."""
    if request.param == "many hits":
        monkeypatch.setattr(plans, "FEW", -1)


def test_it_works(api: Api) -> None:
    beach = make_collection("A day at the beach")
    described = make_photo(1, label="IMG_1", description="the north\nBEACH, at dawn")
    make_collection("A day at home")

    found = api.get("/entities", search_query="beach").json()

    assert [item["id"] for item in found["items"]] == [described.pk, beach.pk]
    assert found["pagination"]["total_items"] == 2


@pytest.mark.parametrize(
    ("label", "query"),
    [
        ("100% wool", "100% w"),
        ("snake_case", "e_c"),
        ("back\\slash", "k\\s"),
        ('a "quoted" word', '"quoted"'),
        ("it's", "it's"),
        ("a* OR b", "a* or"),
        ("label:x AND (y)", ":x and (y)"),
        ("two  spaces", "o  s"),
        ("  leading", "  lead"),
        ("line\nbreak", "e\nb"),
        ("NEAR(a b)", "near(a b)"),
        ("-minus +plus ^caret", "-minus +plus ^c"),
        ("{curly}", "{curly}"),
        ("日本語の写真", "本語の"),
        ("Übergröße", "über"),
        ("ÉCOLE", "école"),
        ("ДОМ БАБУШКИ", "дом"),
        ("😀😀😀", "😀😀😀"),
        ("ab", "AB"),
        ("Ü", "ü"),
        ("Éa", "éA"),
        ("%", "%"),
        ("_", "_"),
        ("x", "X"),
    ],
)
def test_every_character_stands_for_itself(api: Api, label: str, query: str) -> None:
    album = make_collection(label)
    make_collection("something else")
    assert api.ids(search_query=query) == [album.pk]


@pytest.mark.parametrize("query", ["100%w", "sn_ke", "s%e", "%%%", "___", "a*b", "* *", "   x", "beach sand"])
def test_nothing_stands_for_something_else(api: Api, query: str) -> None:
    for label in ("100 % wool", "snake", "some", "a and b", "sand beach"):
        make_collection(label)
    assert api.ids(search_query=query) == []


def test_a_label_and_a_description_are_not_one_text(api: Api) -> None:
    make_photo(1, label="ab", description="cd")
    assert api.ids(search_query="bcd") == []


def test_it_joins_other_filters(api: Api) -> None:
    album = make_collection("beach")
    photo = make_photo(1, label="beach", parent_id=album.pk)
    make_photo(2, label="mountain", parent_id=album.pk)
    assert api.ids(search_query="beach", parent_id=album.pk) == [photo.pk]
    assert api.ids(search_query="beach", is_collection="true") == [album.pk]


def test_the_trash_is_left_out_where_that_is_asked_for(api: Api) -> None:
    kept, deleted = make_collection("beach del"), make_collection("beach")
    trash(deleted)
    found = api.get("/entities", search_query="beach", exclude_deleted="true").json()
    assert ([item["id"] for item in found["items"]], found["pagination"]["total_items"]) == ([kept.pk], 1)
    assert api.ids(search_query="beach") == [deleted.pk, kept.pk]
    assert api.ids(search_query="del") == [kept.pk]

    services.patch_entity(deleted.pk, {"is_deleted": False})
    assert api.ids(search_query="beach", exclude_deleted="true") == [deleted.pk, kept.pk]
    assert api.ids(search_query="del", exclude_deleted="true") == [kept.pk]


def test_what_is_found_only_among_the_oldest(api: Api) -> None:
    """Though the search looks among the newest first."""
    albums = [make_collection(f"beach {number}").pk for number in range(3)]
    for number in range(30):
        make_collection(f"mountain {number}")
    found = [api.ids(search_query="beach", page=page, page_size=1) for page in (1, 2, 3, 4)]
    assert found == [albums[2:], albums[1:2], albums[:1], []]


def test_it_follows_every_change(api: Api) -> None:
    album = make_collection("first name")
    services.patch_entity(album.pk, {"label": "second name"})
    assert api.ids(search_query="first") == []
    assert api.ids(search_query="second") == [album.pk]

    services.patch_entity(album.pk, {"label": None, "description": "only here"})
    assert api.ids(search_query="second") == []
    assert api.ids(search_query="only") == [album.pk]

    Entity.objects.all().delete()
    assert api.ids(search_query="only") == []


def test_a_text_of_any_length(api: Api) -> None:
    album = make_collection("x" * 1024)
    assert api.ids(search_query="x" * 1024) == [album.pk]
    assert api.ids(search_query="x" * 1025) == []
