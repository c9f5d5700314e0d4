from __future__ import annotations

import pytest

from entities import services
from entities.storage import EntityStorageService
from tests.entities.api.client import ENTITY_KEYS, Api, faulty_fields, trash
from tests.factories import jpeg, make_collection, make_photo

pytestmark = pytest.mark.django_db


def test_it_works(api: Api) -> None:
    album = make_collection("album")
    make_photo(1, parent_id=album.pk)
    trash(make_photo(2, parent_id=album.pk))

    answer = api.get(f"/entities/{album.pk}")

    assert answer.status_code == 200
    assert answer.json().keys() >= ENTITY_KEYS
    assert (answer.json()["label"], answer.json()["children_count"]) == ("album", 1)


def test_the_trash_can_be_read(api: Api) -> None:
    album = make_collection("album")
    photo = make_photo(1, parent_id=album.pk)
    trash(album)
    assert api.get(f"/entities/{album.pk}").json()["is_deleted"]
    assert api.get(f"/entities/{photo.pk}").json()["is_indirectly_deleted"]


@pytest.mark.parametrize("entity_id", ["4711", "0", "-1", "-0", "+4711", str(2**63), "9" * 5000])
def test_an_unknown_one(api: Api, entity_id: str) -> None:
    answer = api.get(f"/entities/{entity_id}")
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Entity not found"}


@pytest.mark.parametrize("entity_id", ["abc", "1.0", "1_0", "0x1", "%20", "%D9%A3", "1%2B1"])
def test_what_is_no_number(api: Api, entity_id: str) -> None:
    make_collection("album")
    assert faulty_fields(api.get(f"/entities/{entity_id}")) == {"path.id"}


# --- Versions ---------------------------------------------------------------------------------------------


def test_earlier_versions(api: Api) -> None:
    top = make_collection("top")
    album = make_collection("first", parent_id=top.pk)
    make_photo(1, parent_id=album.pk)
    services.patch_entity(album.pk, {"label": "second", "parent_id": None}, by="8")

    first, second = (api.get(f"/entities/{album.pk}", version=number).json() for number in (1, 2))

    assert (first["label"], first["parent_id"], first["updated_by"]) == ("first", top.pk, None)
    assert (second["label"], second["parent_id"], second["updated_by"]) == ("second", None, "8")
    assert first["id"] == second["id"] == album.pk
    assert first["children_count"] == 1
    assert second == api.get(f"/entities/{album.pk}").json()


def test_links_lead_to_no_other_content(api: Api) -> None:
    """The file of an earlier version is no longer there once it was replaced."""
    photo = make_photo(1)
    storage = EntityStorageService.from_settings()
    with storage.receive([jpeg(2)]) as incoming:
        services.replace_entity(photo.pk, is_collection=False, label=None, storage=storage, incoming=incoming)
    services.patch_entity(photo.pk, {"label": "x"})

    first, second, third = (api.get(f"/entities/{photo.pk}", version=number).json() for number in (1, 2, 3))

    assert first["md5"] == photo.md5 != second["md5"] == third["md5"]
    assert (first["media_url"], first["preview_url"]) == (None, None)
    assert second["media_url"] == third["media_url"] is not None


@pytest.mark.parametrize("number", [0, -1, 2, 2**31, 2**80])
def test_a_version_that_never_was(api: Api, number: int) -> None:
    album = make_collection("album")
    answer = api.get(f"/entities/{album.pk}", version=number)
    assert answer.status_code == 404
    assert f"no version {number}" in answer.json()["detail"]


def test_a_version_of_an_unknown_one(api: Api) -> None:
    assert api.get("/entities/4711", version=1).json() == {"detail": "Entity not found"}


def test_a_version_that_is_no_number(api: Api) -> None:
    album = make_collection("album")
    assert faulty_fields(api.get(f"/entities/{album.pk}", version="last")) == {"query.version"}
