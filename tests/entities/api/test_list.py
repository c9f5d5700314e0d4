from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from entities import services
from entities.models import Entity
from tests.entities.api.client import ENTITY_KEYS, Api, faulty_fields, trash
from tests.factories import make_collection, make_photo

pytestmark = pytest.mark.django_db


def test_it_works(api: Api) -> None:
    album = make_collection("album", by="7")
    photo = make_photo(1, label="beach", description="sand", parent_id=album.pk, by="7")

    answer = api.get("/entities").json()

    assert [item["id"] for item in answer["items"]] == [photo.pk, album.pk]
    assert answer["pagination"] == {
        "page": 1,
        "page_size": 20,
        "total_items": 2,
        "total_pages": 1,
        "has_next": False,
        "has_prev": False,
    }
    shown = answer["items"][0]
    assert shown.keys() >= ENTITY_KEYS
    assert (shown["label"], shown["description"], shown["parent_id"]) == ("beach", "sand", album.pk)
    assert (shown["type"], shown["mime_type"], shown["extension"]) == ("image", "image/jpeg", "jpg")
    assert (shown["width"], shown["height"], shown["duration"]) == (64, 48, None)
    assert (shown["md5"], shown["file_path"]) == (photo.md5, photo.file_path)
    assert (shown["added_by"], shown["updated_by"]) == ("7", "7")
    assert (shown["is_deleted"], shown["is_indirectly_deleted"]) == (False, False)
    assert answer["items"][1]["children_count"] == 1


def test_a_collection_has_no_content(api: Api) -> None:
    make_collection("album")
    shown = api.get("/entities").json()["items"][0]
    of_content = ("file_size", "width", "height", "duration", "mime_type", "type", "extension", "md5")
    assert {shown[key] for key in (*of_content, "file_path", "media_url", "preview_url")} == {None}


def test_times_are_exact_milliseconds(api: Api) -> None:
    album = make_collection("album")
    moment = datetime(2026, 3, 4, 5, 6, 7, 123999, tzinfo=UTC)
    Entity.objects.update(added_date=moment, updated_date=moment, create_date=None)

    shown = api.get("/entities").json()["items"][0]

    assert shown["id"] == album.pk
    assert shown["added_date"] == shown["updated_date"] == 1772600767123
    assert shown["create_date"] is None


@pytest.mark.parametrize("milliseconds", [1, 7, 123, 998, 999])
def test_no_time_is_a_millisecond_off(api: Api, milliseconds: int) -> None:
    make_collection("album")
    Entity.objects.update(added_date=datetime(2026, 3, 4, 5, 6, 7, milliseconds * 1000, tzinfo=UTC))
    assert api.get("/entities").json()["items"][0]["added_date"] % 1000 == milliseconds


def test_nothing_is_no_pages(api: Api) -> None:
    assert api.get("/entities").json() == {
        "items": [],
        "pagination": {
            "page": 1,
            "page_size": 20,
            "total_items": 0,
            "total_pages": 0,
            "has_next": False,
            "has_prev": False,
        },
    }


def test_newest_first_and_the_greater_id_of_one_moment(api: Api) -> None:
    albums = [make_collection(f"album {number}") for number in range(4)]
    Entity.objects.update(added_date=datetime(2026, 1, 1, tzinfo=UTC))
    Entity.objects.filter(pk=albums[1].pk).update(added_date=datetime(2026, 1, 2, tzinfo=UTC))
    assert api.ids() == [albums[index].pk for index in (1, 3, 2, 0)]


def test_pages(api: Api) -> None:
    ids = [make_collection(f"album {number}").pk for number in range(5)][::-1]
    pages = [api.get("/entities", page=page, page_size=2).json() for page in (1, 2, 3, 4)]
    assert [[item["id"] for item in page["items"]] for page in pages] == [ids[:2], ids[2:4], ids[4:], []]
    assert {page["pagination"]["total_pages"] for page in pages} == {3}
    assert [page["pagination"]["has_next"] for page in pages] == [True, True, False, False]
    assert [page["pagination"]["has_prev"] for page in pages] == [False, True, True, True]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("page", "0"),
        ("page", "-1"),
        ("page", "x"),
        ("page_size", "0"),
        ("page_size", "101"),
        ("page_size", "1.5"),
        ("version", "x"),
        ("exclude_deleted", "maybe"),
        ("is_collection", "2"),
        ("width", "wide"),
        ("height", "1.5"),
        ("file_size_min", "x"),
        ("file_size_max", "9" * 30),
        ("date_from", "yesterday"),
        ("date_to", "2026-01-01"),
        ("parent_id", "root"),
        ("parent_id", "9" * 5000),
        ("search_query", "a\x00b"),
    ],
)
def test_a_wrong_parameter_is_named(api: Api, name: str, value: str) -> None:
    assert faulty_fields(api.get("/entities", **{name: value})) == {f"query.{name}"}


def test_a_page_beyond_all_numbers_is_empty(api: Api) -> None:
    make_collection("album")
    answer = api.get("/entities", page=10**17).json()
    assert (answer["items"], answer["pagination"]["total_items"]) == ([], 1)


def test_unknown_parameters_are_ignored(api: Api) -> None:
    album = make_collection("album")
    assert api.ids(filter_param="x", colour="red", page_size=5) == [album.pk]


def test_below_a_deleted_collection_is_indirectly_deleted(api: Api) -> None:
    top = make_collection("top")
    middle = make_collection("middle", parent_id=top.pk)
    photo = make_photo(1, parent_id=middle.pk)
    trash(top)

    shown = {item["id"]: item for item in api.get("/entities").json()["items"]}

    assert [shown[pk]["is_deleted"] for pk in (top.pk, middle.pk, photo.pk)] == [True, False, False]
    assert [shown[pk]["is_indirectly_deleted"] for pk in (top.pk, middle.pk, photo.pk)] == [False, True, True]


def test_only_live_children_count(api: Api) -> None:
    album = make_collection("album")
    photos = [make_photo(seed, parent_id=album.pk) for seed in range(3)]
    make_collection("inner", parent_id=album.pk)
    trash(photos[0])

    counts = {item["id"]: item["children_count"] for item in api.get("/entities").json()["items"]}

    assert counts[album.pk] == 3
    assert {count for pk, count in counts.items() if pk != album.pk} == {0}


# --- Earlier versions -------------------------------------------------------------------------------------


def test_each_row_as_its_version_was(api: Api) -> None:
    changed = make_collection("before")
    unchanged = make_collection("only one")
    services.patch_entity(changed.pk, {"label": "after"})

    first = api.get("/entities", version=1).json()
    second = api.get("/entities", version=2).json()

    assert [item["label"] for item in first["items"]] == ["only one", "before"]
    assert [item["label"] for item in second["items"]] == ["after"]
    assert second["pagination"]["total_items"] == 2
    assert unchanged.pk not in [item["id"] for item in second["items"]]


@pytest.mark.parametrize("number", [0, -1, 3, 2**31, 2**70])
def test_no_row_has_a_version_that_never_was(api: Api, number: int) -> None:
    make_collection("album")
    assert api.ids(version=number) == []


# --- Costs ------------------------------------------------------------------------------------------------


def _fill(number: int) -> None:
    """All below a deleted collection, two levels up."""
    top = make_collection("top")
    parents: Sequence[Entity] = [make_collection(f"c{index}", parent_id=top.pk) for index in range(3)]
    Entity.objects.bulk_create(
        Entity(
            is_collection=True,
            label=f"a label {index}",
            parent=parents[index % len(parents)],
            added_date=top.added_date,
            updated_date=top.added_date,
        )
        for index in range(number)
    )
    trash(top)


@pytest.mark.parametrize("number", [1, 10, 100])
@pytest.mark.parametrize("query", [{}, {"exclude_deleted": "true"}, {"search_query": "a label"}])
def test_any_number_of_rows_takes_as_many_queries(
    api: Api, django_assert_num_queries: Any, number: int, query: dict[str, str]
) -> None:
    """The count, the ids, the rows, their deleted ancestors, and what intelligence adds."""
    _fill(number)
    with django_assert_num_queries(5):
        answer = api.get("/entities", page_size=100, **query)
    assert len(answer.json()["items"]) >= number
    assert any(item["is_indirectly_deleted"] for item in answer.json()["items"])
