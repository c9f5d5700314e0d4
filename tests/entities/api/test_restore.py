from __future__ import annotations

import pytest

from entities import services
from entities.models import Entity
from entities.storage import EntityStorageService
from tests.entities.api.client import Api, faulty_fields, trash
from tests.factories import jpeg, make_collection, make_photo

pytestmark = pytest.mark.django_db


def test_it_works(api: Api) -> None:
    album = make_collection("album")
    photo = make_photo(1, label="first", description="one", parent_id=album.pk, by="7")
    services.patch_entity(photo.pk, {"label": "second", "description": None, "parent_id": None})

    answer = api.client.post(f"/entities/{photo.pk}/restore?version=1")

    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["label"], shown["description"], shown["parent_id"]) == ("first", "one", album.pk)
    assert (shown["added_by"], shown["updated_by"]) == ("7", "writer-1")
    versions = api.get(f"/entities/{photo.pk}/versions").json()
    assert [version["label"] for version in versions] == ["first", "second", "first"]
    assert versions[2]["reason"] == "Version 1 was restored."


def test_content_and_trash_stay_as_they_are(api: Api) -> None:
    photo = make_photo(1, label="first")
    storage = EntityStorageService.from_settings()
    with storage.receive([jpeg(2)]) as incoming:
        services.replace_entity(photo.pk, is_collection=False, label="b", storage=storage, incoming=incoming)
    trash(photo)

    shown = api.client.post(f"/entities/{photo.pk}/restore?version=1").json()

    assert (shown["label"], shown["is_deleted"]) == ("first", True)
    assert shown["md5"] == Entity.objects.get(pk=photo.pk).md5 != photo.md5


def test_a_parent_that_is_gone(api: Api) -> None:
    album = make_collection("album")
    photo = make_photo(1, label="first", parent_id=album.pk)
    services.patch_entity(photo.pk, {"parent_id": None, "label": "second"})
    Entity.objects.filter(pk=album.pk).delete()

    answer = api.client.post(f"/entities/{photo.pk}/restore?version=1")

    assert answer.status_code == 422
    assert "does not exist" in answer.json()["detail"]
    assert Entity.objects.get(pk=photo.pk).label == "second"
    assert photo.history.count() == 2


def test_no_circle_out_of_the_past(api: Api) -> None:
    top = make_collection("top")
    below = make_collection("below", parent_id=top.pk)
    services.patch_entity(below.pk, {"parent_id": None})
    services.patch_entity(top.pk, {"parent_id": below.pk})
    answer = api.client.post(f"/entities/{below.pk}/restore?version=1")
    assert answer.status_code == 422
    assert "Circular hierarchy detected" in answer.json()["detail"]


@pytest.mark.parametrize("number", [0, -1, 2, 2**80])
def test_a_version_that_never_was(api: Api, number: int) -> None:
    album = make_collection("album")
    answer = api.client.post(f"/entities/{album.pk}/restore?version={number}")
    assert (answer.status_code, answer.json()["detail"]) == (404, f"The entity has no version {number}")
    assert album.history.count() == 1


def test_an_unknown_one(api: Api) -> None:
    assert api.client.post("/entities/4711/restore?version=1").json() == {"detail": "Entity not found"}


@pytest.mark.parametrize("query", ["", "?version=", "?version=last"])
def test_the_version_must_be_said(api: Api, query: str) -> None:
    album = make_collection("album")
    assert faulty_fields(api.client.post(f"/entities/{album.pk}/restore{query}")) == {"query.version"}


def test_it_is_a_write(api: Api) -> None:
    album = make_collection("album")
    assert api.get(f"/entities/{album.pk}/restore", version=1).status_code == 405
