from __future__ import annotations

import pytest

from entities import services
from entities.models import Entity
from entities.versions import History
from tests.entities.api.client import Api, trash
from tests.factories import jpeg, make_collection, make_photo, store

pytestmark = pytest.mark.django_db


def test_it_works(api: Api) -> None:
    album = make_collection("first", description="a", by="7")
    make_collection("another")
    services.patch_entity(album.pk, {"label": "second", "is_deleted": True}, by="8")
    rows = list(History.objects.filter(id=album.pk).order_by("history_id"))

    answer = api.get(f"/entities/{album.pk}/versions")

    assert answer.status_code == 200
    first, second = answer.json()
    assert first == {
        "version": 1,
        "transaction_id": rows[0].history_id,
        "end_transaction_id": rows[1].history_id,
        "updated_date": api.get(f"/entities/{album.pk}", version=1).json()["updated_date"],
        "updated_by": "7",
        "operation_type": "created",
        "reason": None,
        "label": "first",
        "description": "a",
        "parent_id": None,
        "md5": None,
        "is_deleted": False,
    }
    assert (second["version"], second["transaction_id"]) == (2, rows[1].history_id)
    assert (second["label"], second["updated_by"], second["is_deleted"]) == ("second", "8", True)
    assert (second["operation_type"], second["end_transaction_id"]) == ("changed", None)


def test_reasons(api: Api) -> None:
    photo = make_photo(1, label="a")
    services.patch_entity(photo.pk, {"is_deleted": True})
    store(jpeg(1))
    services.restore_version(photo.pk, 1)
    reasons = [version["reason"] for version in api.get(f"/entities/{photo.pk}/versions").json()]
    assert reasons == [None, None, "The same content came again.", "Version 1 was restored."]


def test_of_the_trash(api: Api) -> None:
    album = make_collection("album")
    trash(album)
    assert len(api.get(f"/entities/{album.pk}/versions").json()) == 1


def test_of_an_unknown_one(api: Api) -> None:
    assert api.get("/entities/4711/versions").json() == {"detail": "Entity not found"}


def test_of_one_that_was_removed(api: Api) -> None:
    album = make_collection("album")
    Entity.objects.all().delete()
    assert History.objects.filter(id=album.pk).count() == 2
    assert api.get(f"/entities/{album.pk}/versions").status_code == 404
