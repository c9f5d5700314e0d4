from __future__ import annotations

from typing import Any

import pytest

from entities.models import Entity
from tests.entities.api.client import URLENCODED, Api, faulty_fields, trash, upload
from tests.factories import jpeg, make_collection, make_photo

pytestmark = pytest.mark.django_db


@pytest.fixture
def photo() -> Entity:
    return make_photo(1, label="beach", description="sand", parent_id=make_collection("album").pk, by="7")


def texts(shown: dict[str, Any]) -> tuple[Any, ...]:
    return shown["label"], shown["description"]


@pytest.mark.parametrize("send", ["send", "send_urlencoded"])
def test_it_works(api: Api, photo: Entity, send: str) -> None:
    answer = getattr(api, send)("patch", f"/entities/{photo.pk}", label="mountain")

    assert answer.status_code == 200
    shown = answer.json()
    assert texts(shown) == ("mountain", "sand")
    assert (shown["parent_id"], shown["md5"]) == (photo.parent_id, photo.md5)
    assert (shown["added_by"], shown["updated_by"]) == ("7", "writer-1")
    assert shown["updated_date"] > shown["added_date"]
    assert photo.history.count() == 2


def test_all_fields_at_once(api: Api, photo: Entity) -> None:
    """As an app sends them, whatever was changed."""
    answer = api.send(
        "patch",
        f"/entities/{photo.pk}",
        label="",
        description="",
        parent_id="",
        is_collection="false",
        is_deleted="true",
    )
    shown = answer.json()
    assert answer.status_code == 200
    assert (texts(shown), shown["parent_id"], shown["is_deleted"]) == ((None, None), None, True)


@pytest.mark.parametrize("field", ["label", "description", "parent_id"])
def test_empty_is_none_and_absent_is_unchanged(api: Api, photo: Entity, field: str) -> None:
    before = api.get(f"/entities/{photo.pk}").json()
    after = api.send("patch", f"/entities/{photo.pk}", **{field: ""}).json()
    assert after[field] is None
    others = {"label", "description", "parent_id", "is_deleted", "md5", "added_date"} - {field}
    assert {key: after[key] for key in others} == {key: before[key] for key in others}


def test_move(api: Api, photo: Entity) -> None:
    other = make_collection("other")
    assert api.send("patch", f"/entities/{photo.pk}", parent_id=other.pk).json()["parent_id"] == other.pk


@pytest.mark.parametrize("word", ["true", "1", "YES", "On", "t", "y"])
def test_into_the_trash_and_back(api: Api, photo: Entity, word: str) -> None:
    assert api.send("patch", f"/entities/{photo.pk}", is_deleted=word).json()["is_deleted"] is True
    assert api.send("patch", f"/entities/{photo.pk}", is_deleted="no").json()["is_deleted"] is False


@pytest.mark.parametrize("word", ["junk", "2", "truee", "null"])
def test_junk_does_not_restore(api: Api, photo: Entity, word: str) -> None:
    trash(photo)
    assert faulty_fields(api.send("patch", f"/entities/{photo.pk}", is_deleted=word)) == {"body.is_deleted"}
    assert Entity.objects.get(pk=photo.pk).is_deleted


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ('{"label": "other"}', "application/json"),
        ("{broken", "application/json"),
        ("", URLENCODED),
        ("<a/>", "text/xml"),
        ("unknown=1&is_collection=junk", URLENCODED),
    ],
)
def test_what_changes_nothing_is_a_version_all_the_same(
    api: Api, photo: Entity, body: str, content_type: str
) -> None:
    answer = api.client.patch(f"/entities/{photo.pk}", body, content_type=content_type)
    assert answer.status_code == 200
    assert texts(answer.json()) == ("beach", "sand")
    assert answer.json()["updated_by"] == "writer-1"
    assert photo.history.count() == 2


def test_a_file_is_ignored(api: Api, photo: Entity) -> None:
    answer = api.send("patch", f"/entities/{photo.pk}", label="x", media_file=upload(jpeg(2)))
    assert (answer.status_code, answer.json()["md5"]) == (200, photo.md5)


def test_an_unknown_one(api: Api) -> None:
    assert api.send("patch", "/entities/4711", label="x").json() == {"detail": "Entity not found"}
    assert api.send("patch", "/entities/4711", is_deleted="true").status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [("parent_id", "abc"), ("parent_id", "1.5"), ("label", "x" * 1025), ("description", "a\x00b")],
)
def test_a_wrong_field_is_named(api: Api, photo: Entity, field: str, value: str) -> None:
    assert faulty_fields(api.send("patch", f"/entities/{photo.pk}", **{field: value})) == {f"body.{field}"}
    assert photo.history.count() == 1


# --- The hierarchy ----------------------------------------------------------------------------------------


def chain(length: int, *, below: Entity | None = None) -> list[Entity]:
    made: list[Entity] = []
    for level in range(length):
        parent = made[-1] if made else below
        made.append(make_collection(f"level {level}", parent_id=parent.pk if parent else None))
    return made


def refusal(api: Api, entity: Entity, parent_id: object) -> str:
    answer = api.send("patch", f"/entities/{entity.pk}", parent_id=parent_id, label="changed")
    assert answer.status_code == 422
    unchanged = Entity.objects.get(pk=entity.pk)
    assert (unchanged.parent_id, unchanged.label) == (entity.parent_id, entity.label)
    detail: str = answer.json()["detail"]
    return detail


@pytest.mark.parametrize("below", [0, 1, 2])
def test_nothing_stands_below_itself(api: Api, below: int) -> None:
    levels = chain(3)
    assert "Circular hierarchy detected" in refusal(api, levels[0], levels[below].pk)


@pytest.mark.parametrize(
    ("parent_id", "reason"), [(0, "not exist"), (4711, "not exist"), (2**70, "not exist")]
)
def test_a_parent_that_is_not_there(api: Api, photo: Entity, parent_id: int, reason: str) -> None:
    assert reason in refusal(api, photo, parent_id)


def test_a_parent_that_is_none(api: Api, photo: Entity) -> None:
    deleted = make_collection("deleted")
    trash(deleted)
    assert "not a collection" in refusal(api, photo, make_photo(2).pk)
    assert "not a collection" in refusal(api, photo, photo.pk)
    assert "deleted" in refusal(api, photo, deleted.pk)


def test_ten_levels_at_most(api: Api, photo: Entity) -> None:
    levels = chain(10)
    assert "Maximum hierarchy depth exceeded" in refusal(api, photo, levels[9].pk)
    assert api.send("patch", f"/entities/{photo.pk}", parent_id=levels[8].pk).status_code == 200


def test_the_whole_moved_subtree_counts(api: Api) -> None:
    deep, moved = chain(7), chain(4)
    make_photo(1, parent_id=moved[1].pk)
    assert "Maximum hierarchy depth exceeded" in refusal(api, moved[0], deep[6].pk)
    assert api.send("patch", f"/entities/{moved[0].pk}", parent_id=deep[5].pk).status_code == 200


def test_below_a_deleted_parent_it_may_stay(api: Api, photo: Entity) -> None:
    """An app sends the parent with each change; that it is in the trash is no reason to refuse the others."""
    trash(Entity.objects.get(pk=photo.parent_id or 0))
    answer = api.send("patch", f"/entities/{photo.pk}", parent_id=photo.parent_id, label="changed")
    assert (answer.status_code, answer.json()["label"]) == (200, "changed")
