from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from entities.models import Entity
from entities.storage import EntityStorageService
from tests.entities.api.client import Api, faulty_fields, media_files, trash, upload
from tests.factories import jpeg, make_collection, make_photo

pytestmark = pytest.mark.django_db


@pytest.fixture
def photo(media_root: Path) -> Entity:
    return make_photo(1, label="beach", description="sand", parent_id=make_collection("album").pk, by="7")


@pytest.mark.parametrize("field", ["media_file", "image"])
def test_it_works(
    api: Api, photo: Entity, field: str, django_capture_on_commit_callbacks: Any, media_root: Path
) -> None:
    other = make_collection("other")
    form = {"is_collection": "false", "label": "mountain", "description": "snow", "parent_id": other.pk}

    with django_capture_on_commit_callbacks(execute=True):
        answer = api.send("put", f"/entities/{photo.pk}", **form, **{field: upload(jpeg(2, size=(80, 60)))})

    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["label"], shown["description"], shown["parent_id"]) == ("mountain", "snow", other.pk)
    assert (shown["width"], shown["height"]) == (80, 60)
    assert shown["md5"] != photo.md5
    assert (shown["added_by"], shown["updated_by"]) == ("7", "writer-1")
    assert media_files("store") == [shown["file_path"]]
    assert (media_root / shown["file_path"]).read_bytes() == jpeg(2, size=(80, 60))
    assert photo.history.count() == 2


@pytest.mark.parametrize("send", ["send", "send_urlencoded"])
def test_without_a_file_the_content_stays(api: Api, photo: Entity, send: str) -> None:
    before = api.get(f"/entities/{photo.pk}").json()
    answer = getattr(api, send)("put", f"/entities/{photo.pk}", is_collection="false", label="mountain")

    assert answer.status_code == 200
    changed = {key for key, value in answer.json().items() if value != before[key]}
    assert changed - {"updated_date"} == {"label", "description", "parent_id", "updated_by"}
    assert (answer.json()["description"], answer.json()["parent_id"]) == (None, None)
    assert media_files() == [photo.file_path]


def test_a_collection(api: Api) -> None:
    album = make_collection("album", description="x")
    answer = api.send("put", f"/entities/{album.pk}", is_collection="true", label="other")
    assert (answer.status_code, answer.json()["label"], answer.json()["description"]) == (200, "other", None)


def test_an_empty_label_is_none(api: Api, photo: Entity) -> None:
    """As an app sends it for an item without a label."""
    answer = api.send("put", f"/entities/{photo.pk}", is_collection="false", label="")
    assert (answer.status_code, answer.json()["label"]) == (200, None)


def test_the_same_file_stays(
    api: Api, photo: Entity, django_capture_on_commit_callbacks: Any, media_root: Path
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer = api.send(
            "put", f"/entities/{photo.pk}", is_collection="false", label="x", media_file=upload(jpeg(1))
        )
    assert (answer.status_code, answer.json()["file_path"]) == (200, photo.file_path)
    assert (media_root / str(photo.file_path)).read_bytes() == jpeg(1)
    assert media_files() == [photo.file_path]


def test_the_same_file_is_put_back_where_it_was_lost(api: Api, photo: Entity, media_root: Path) -> None:
    (media_root / str(photo.file_path)).unlink()
    api.send("put", f"/entities/{photo.pk}", is_collection="false", label="x", media_file=upload(jpeg(1)))
    assert (media_root / str(photo.file_path)).read_bytes() == jpeg(1)


def test_back_and_forth(api: Api, photo: Entity, django_capture_on_commit_callbacks: Any) -> None:
    for seed in (2, 1, 2, 1):
        with django_capture_on_commit_callbacks(execute=True):
            answer = api.send(
                "put", f"/entities/{photo.pk}", is_collection="false", label="", media_file=upload(jpeg(seed))
            )
        assert media_files("store") == [answer.json()["file_path"]]
    assert answer.json()["md5"] == photo.md5


def test_the_old_preview_goes_with_the_old_file(
    api: Api, photo: Entity, django_capture_on_commit_callbacks: Any
) -> None:
    assert api.get(f"/entities/{photo.pk}/preview").status_code == 200
    assert len(media_files("previews")) == 1
    with django_capture_on_commit_callbacks(execute=True):
        api.send("put", f"/entities/{photo.pk}", is_collection="false", label="", media_file=upload(jpeg(2)))
    assert media_files("previews") == []


# --- What is refused --------------------------------------------------------------------------------------


def refused(api: Api, entity: Entity, status: int, **form: Any) -> Any:
    before = (media_files(), Entity.objects.values().get(pk=entity.pk), entity.history.count())
    answer = api.send("put", f"/entities/{entity.pk}", **form)
    assert answer.status_code == status, answer.content
    assert before == (media_files(), Entity.objects.values().get(pk=entity.pk), entity.history.count())
    return answer.json()["detail"]


def test_the_kind_never_changes(api: Api, photo: Entity) -> None:
    album = make_collection()
    assert "is_collection" in refused(api, photo, 400, is_collection="true", label="x")
    assert "is_collection" in refused(api, album, 400, is_collection="false", label="x")
    file = upload(jpeg(2))
    assert "is_collection" in refused(api, album, 400, is_collection="false", label="x", media_file=file)


def test_a_collection_has_no_file(api: Api) -> None:
    detail = refused(api, make_collection(), 400, is_collection="true", label="x", media_file=upload(jpeg(2)))
    assert "collection has no file" in detail


def test_content_of_another(api: Api, photo: Entity) -> None:
    other = make_photo(2)
    detail = refused(api, photo, 409, is_collection="false", label="x", media_file=upload(jpeg(2)))
    assert f"entity {other.pk}" in detail


def test_content_of_another_in_the_trash(api: Api, photo: Entity) -> None:
    other = make_photo(2)
    trash(other)
    detail = refused(api, photo, 409, is_collection="false", label="x", media_file=upload(jpeg(2)))
    assert "in the trash" in detail


@pytest.mark.parametrize(("content", "reason"), [(b"", "is empty"), (jpeg(3)[:300], "cannot be decoded")])
def test_a_file_that_is_none(api: Api, photo: Entity, content: bytes, reason: str) -> None:
    assert reason in refused(api, photo, 422, is_collection="false", label="x", media_file=upload(content))


@pytest.mark.parametrize("with_file", [False, True])
def test_a_parent_that_cannot_be(api: Api, photo: Entity, with_file: bool) -> None:  # noqa: FBT001  (a case)
    deleted = make_collection()
    trash(deleted)
    bad = {"not exist": 4711, "not a collection": photo.pk, "deleted": deleted.pk, "does not": 2**70}
    for reason, parent_id in bad.items():
        file = {"media_file": upload(jpeg(2))} if with_file else {}
        form = {"is_collection": "false", "label": "x", "parent_id": parent_id}
        assert reason in refused(api, photo, 400, **form, **file)


def test_no_circle(api: Api) -> None:
    top = make_collection()
    below = make_collection(parent_id=top.pk)
    for parent in (top, below):
        detail = refused(api, top, 400, is_collection="true", label="x", parent_id=parent.pk)
        assert "Circular hierarchy detected" in detail


def test_ten_levels_at_most(api: Api, photo: Entity) -> None:
    parent = make_collection()
    for _ in range(9):
        parent = make_collection(parent_id=parent.pk)
    detail = refused(api, photo, 400, is_collection="false", label="x", parent_id=parent.pk)
    assert "Maximum hierarchy depth exceeded" in detail


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"is_collection": "false"}, "label"),
        ({"label": "x"}, "is_collection"),
        ({"label": "x", "is_collection": ""}, "is_collection"),
        ({"label": "x", "is_collection": "junk"}, "is_collection"),
        ({"label": "x", "is_collection": "false", "parent_id": "abc"}, "parent_id"),
        ({"label": "x" * 1025, "is_collection": "false"}, "label"),
    ],
)
@pytest.mark.parametrize("send", ["send", "send_urlencoded"])
def test_a_wrong_field_is_named(api: Api, photo: Entity, send: str, form: dict[str, str], field: str) -> None:
    answer = getattr(api, send)("put", f"/entities/{photo.pk}", **form)
    assert faulty_fields(answer) == {f"body.{field}"}


def test_json_has_no_fields(api: Api, photo: Entity) -> None:
    answer = api.client.put(f"/entities/{photo.pk}", "{}", content_type="application/json")
    assert faulty_fields(answer) == {"body.is_collection", "body.label"}


def test_an_unknown_one(api: Api) -> None:
    """The form is looked at first."""
    assert faulty_fields(api.send("put", "/entities/4711", label="x")) == {"body.is_collection"}
    answer = api.send("put", "/entities/4711", is_collection="false", label="x", media_file=upload(jpeg(2)))
    assert (answer.status_code, answer.json()) == (404, {"detail": "Entity not found"})
    assert EntityStorageService.from_settings().media_root.exists()
    assert media_files() == []
