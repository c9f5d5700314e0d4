"""The filters of the list: each alone, and all of them together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from entities import services
from entities.models import Entity
from tests.entities.api.client import Api, trash, upload
from tests.factories import jpeg, make_collection, make_photo, store

pytestmark = pytest.mark.django_db


def test_it_works(api: Api) -> None:
    album = make_collection("album")
    photo = make_photo(1, label="beach", parent_id=album.pk)
    make_photo(2, parent_id=album.pk)

    found = api.get(
        "/entities",
        md5=photo.md5,
        mime_type="image/jpeg",
        type="image",
        width=64,
        height=48,
        file_size_min=photo.file_size,
        file_size_max=photo.file_size,
        date_from=0,
        date_to=4102444800000,
        parent_id=album.pk,
        is_collection="false",
        exclude_deleted="true",
        search_query="each",
    ).json()

    assert [item["id"] for item in found["items"]] == [photo.pk]
    assert found["pagination"]["total_items"] == 1


@pytest.mark.parametrize("name", ["md5", "mime_type", "type", "search_query", "parent_id", "is_collection"])
def test_empty_is_no_filter(api: Api, name: str) -> None:
    ids = [make_photo(1).pk, make_collection("album").pk]
    assert sorted(api.ids(**{name: ""})) == ids


def test_content(api: Api) -> None:
    small, large = make_photo(1), store(jpeg(2, size=(100, 48))).entity
    text = store(b"just some words\n").entity

    assert api.ids(md5=small.md5) == [small.pk]
    assert api.ids(md5="0" * 32) == []
    assert api.ids(type="image") == [large.pk, small.pk]
    assert api.ids(type="text") == [text.pk]
    assert api.ids(type="nothing of the kind") == []
    assert api.ids(mime_type="text/plain") == [text.pk]
    assert api.ids(mime_type="image") == []
    assert api.ids(width=100) == [large.pk]
    assert api.ids(height=48) == [large.pk, small.pk]
    assert api.ids(width=100, height=49) == []


def test_sizes_are_inclusive(api: Api) -> None:
    texts = [store(b"x" * size).entity for size in (10, 20, 30)]
    assert api.ids(file_size_min=20) == [texts[2].pk, texts[1].pk]
    assert api.ids(file_size_max=20) == [texts[1].pk, texts[0].pk]
    assert api.ids(file_size_min=20, file_size_max=20) == [texts[1].pk]
    assert api.ids(file_size_min=2**40) == []


def test_dates_are_inclusive_as_clients_see_them(api: Api) -> None:
    """The store knows microseconds, of which clients see the first three digits."""
    album = make_collection("album")
    Entity.objects.update(added_date=datetime(2026, 1, 1, 0, 0, 0, 123789, tzinfo=UTC))
    seen = api.get(f"/entities/{album.pk}").json()["added_date"]

    assert api.ids(date_from=seen, date_to=seen) == [album.pk]
    assert api.ids(date_from=seen + 1) == []
    assert api.ids(date_to=seen - 1) == []


@pytest.mark.parametrize("moment", [0, -1, -(2**62), 253402300799999, 2**62])
def test_no_moment_is_too_far_away(api: Api, moment: int) -> None:
    album = make_collection("album")
    assert api.ids(date_from=moment) == ([album.pk] if moment <= 0 else [])
    assert api.ids(date_to=moment) == ([] if moment <= 0 else [album.pk])


def test_zero_is_the_root(api: Api) -> None:
    album = make_collection("album")
    photo = make_photo(1, parent_id=album.pk)
    assert api.ids(parent_id=0) == [album.pk]
    assert api.ids(parent_id=album.pk) == [photo.pk]
    for unknown in (-1, 4711, 2**62):
        assert api.ids(parent_id=unknown) == []


@pytest.mark.parametrize(("word", "files"), [("true", 0), ("YES", 0), ("1", 0), ("f", 1), ("Off", 1)])
def test_collections_or_files(api: Api, word: str, files: int) -> None:
    ids = [make_collection("album").pk, make_photo(1).pk]
    assert api.ids(is_collection=word) == [ids[files]]


def test_deleted_ones_are_left_out_but_not_what_is_below_them(api: Api) -> None:
    album = make_collection("album")
    below, photo = make_photo(1, parent_id=album.pk), make_photo(2)
    trash(album, photo)
    assert api.ids(exclude_deleted="true") == [below.pk]
    assert api.ids(exclude_deleted="false") == [photo.pk, below.pk, album.pk]


# --- The total --------------------------------------------------------------------------------------------


def _tree() -> dict[str, Entity]:
    top = make_collection("top")
    inner = make_collection("inner", parent_id=top.pk)
    photos = [make_photo(seed, parent_id=inner.pk) for seed in range(3)]
    text, loose = store(b"words\n", parent_id=inner.pk).entity, make_photo(9)
    trash(photos[0], loose)
    return {"top": top, "inner": inner, "text": text, "loose": loose}


@pytest.mark.parametrize("deleted", [{}, {"exclude_deleted": "true"}])
@pytest.mark.parametrize("kind", [{}, {"type": "image"}, {"type": "video"}, {"is_collection": "true"}])
@pytest.mark.parametrize("where", [{}, {"parent_id": 0}, {"parent_id": "inner"}, {"parent_id": "text"}])
@pytest.mark.parametrize("other", [{}, {"file_size_min": 0}])
def test_the_total_is_the_number_of_items(
    api: Api, deleted: dict[str, str], kind: dict[str, str], where: dict[str, Any], other: dict[str, int]
) -> None:
    """Whether the number was kept by the database or is counted now."""
    tree = _tree()
    parent = where.get("parent_id")
    query = {**deleted, **kind, **other, **where}
    if parent in tree:
        query["parent_id"] = tree[parent].pk
    answer = api.get("/entities", **query).json()
    assert answer["pagination"]["total_items"] == len(answer["items"])


def test_the_total_follows_every_change(api: Api, django_capture_on_commit_callbacks: Any) -> None:
    def total(**query: Any) -> int:
        pages: dict[str, int] = api.get("/entities", exclude_deleted="true", **query).json()["pagination"]
        return pages["total_items"]

    tree = _tree()
    inner = tree["inner"].pk
    assert (total(), total(parent_id=0), total(parent_id=inner)) == (5, 1, 3)

    services.patch_entity(tree["text"].pk, {"parent_id": None})
    assert (total(), total(parent_id=0), total(parent_id=inner)) == (5, 2, 2)

    services.patch_entity(tree["loose"].pk, {"is_deleted": False})
    assert (total(), total(parent_id=0), total(type="image")) == (6, 3, 3)

    api.send(
        "put", f"/entities/{tree['text'].pk}", is_collection="false", label="", media_file=upload(jpeg(77))
    )
    assert (total(type="text"), total(type="image")) == (0, 4)

    services.patch_entity(tree["top"].pk, {"is_deleted": True})
    with django_capture_on_commit_callbacks(execute=True):
        assert api.client.delete(f"/entities/{tree['top'].pk}").status_code == 204
    assert (total(), total(parent_id=0), total(parent_id=inner)) == (2, 2, 0)
