from __future__ import annotations

import pytest

from tests.entities.api.client import ENTITY_KEYS, Api, trash
from tests.factories import make_collection, make_photo

pytestmark = pytest.mark.django_db


def test_it_works(api: Api) -> None:
    album, photo = make_collection("Holidays"), make_photo(1, label="Holidays")
    by_label = api.get("/entities/lookup", label="Holidays")
    by_md5 = api.get("/entities/lookup", md5=photo.md5)
    assert (by_label.status_code, by_md5.status_code) == (200, 200)
    assert (by_label.json()["id"], by_md5.json()["id"]) == (album.pk, photo.pk)
    assert by_md5.json().keys() >= ENTITY_KEYS


def test_md5_wins(api: Api) -> None:
    make_collection("Holidays")
    photo = make_photo(1)
    assert api.get("/entities/lookup", label="Holidays", md5=photo.md5).json()["id"] == photo.pk
    assert api.get("/entities/lookup", label="Holidays", md5="0" * 32).status_code == 404


def test_something_must_be_asked_for(api: Api) -> None:
    for query in ({}, {"md5": ""}, {"label": ""}, {"md5": "", "label": ""}):
        answer = api.get("/entities/lookup", **query)
        assert answer.status_code == 400
        assert answer.json() == {"detail": "Give md5 or label."}


@pytest.mark.parametrize("label", ["holidays", "Holiday", "Holidays ", " Holidays", "Holi%", "of a photo"])
def test_a_label_is_found_exactly_and_of_collections_only(api: Api, label: str) -> None:
    make_collection("Holidays")
    make_photo(1, label="of a photo")
    assert api.get("/entities/lookup", label=label).status_code == 404


def test_the_trash_is_not_searched(api: Api) -> None:
    album, photo = make_collection("Holidays"), make_photo(1)
    trash(album, photo)
    assert api.get("/entities/lookup", label="Holidays").status_code == 404
    assert api.get("/entities/lookup", md5=photo.md5).json() == {"detail": "Entity not found"}


def test_two_of_one_label_are_a_conflict(api: Api) -> None:
    for _ in range(3):
        make_collection("Holidays")
    assert api.get("/entities/lookup", label="Holidays").status_code == 409


def test_labels_that_differ_at_their_end(api: Api) -> None:
    """Only the beginning of a label is in the index."""
    albums = [make_collection("😀" * 1023 + end) for end in "ab"]
    assert api.get("/entities/lookup", label=albums[1].label).json()["id"] == albums[1].pk


def test_lookup_is_no_id(api: Api) -> None:
    assert api.get("/entities/lookup/", label="x").json() == {"detail": "Entity not found"}
