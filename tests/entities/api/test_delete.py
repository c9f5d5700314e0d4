from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from entities import services
from entities.models import DiscardedFile, Entity
from entities.signals import entity_removed
from entities.versions import History
from tests.entities.api.client import Api, media_files, trash, upload
from tests.factories import jpeg, make_collection, make_photo

pytestmark = pytest.mark.django_db


@pytest.fixture
def delete(api: Api, django_capture_on_commit_callbacks: Any) -> Callable[[Entity], Any]:
    def send(entity: Entity) -> Any:
        with django_capture_on_commit_callbacks(execute=True):
            return api.client.delete(f"/entities/{entity.pk}")

    return send


def test_it_works(api: Api, delete: Callable[[Entity], Any]) -> None:
    photo, other = make_photo(1), make_photo(2)
    assert api.get(f"/entities/{photo.pk}/preview").status_code == 200
    trash(photo)

    answer = delete(photo)

    assert (answer.status_code, answer.content) == (204, b"")
    assert list(Entity.objects.all()) == [other]
    assert media_files() == [other.file_path]
    assert not DiscardedFile.objects.exists()
    last = History.objects.filter(id=photo.pk).latest("history_id")
    assert (last.history_type, last.history_user_id, last.md5) == ("-", "writer-1", photo.md5)
    for path in ("", "/versions", "/media"):
        assert api.get(f"/entities/{photo.pk}{path}").status_code == 404


def test_a_live_one_is_refused_and_so_is_all_below_it(delete: Callable[[Entity], Any]) -> None:
    album = make_collection("album")
    photo = make_photo(1, parent_id=album.pk)
    trash(make_photo(2, parent_id=album.pk))

    answer = delete(album)

    assert answer.status_code == 400
    assert "must be soft-deleted first" in answer.json()["detail"]
    assert Entity.objects.count() == 3
    assert photo.file_path in media_files()


def test_one_that_is_only_below_a_deleted_one_is_refused(delete: Callable[[Entity], Any]) -> None:
    album = make_collection("album")
    photo = make_photo(1, parent_id=album.pk)
    trash(album)
    assert delete(photo).status_code == 400


@pytest.mark.parametrize("entity_id", ["4711", "-1", str(2**80)])
def test_an_unknown_one(api: Api, entity_id: str) -> None:
    answer = api.client.delete(f"/entities/{entity_id}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Entity not found"})


def test_twice(delete: Callable[[Entity], Any]) -> None:
    photo = make_photo(1)
    trash(photo)
    assert [delete(photo).status_code for _ in range(2)] == [204, 404]


def test_everything_below_goes_too(delete: Callable[[Entity], Any]) -> None:
    """Live or in the trash, at any depth, wherever their ids stand."""
    moved_here = make_photo(1)
    top = make_collection("top")
    middle = make_collection("middle", parent_id=top.pk)
    deep = make_photo(2, parent_id=make_collection("deep", parent_id=middle.pk).pk)
    trash(make_photo(3, parent_id=middle.pk), top)
    services.patch_entity(moved_here.pk, {"parent_id": middle.pk})
    beside = make_photo(4)
    removed: list[int] = []
    entity_removed.connect(lambda entity_id, **_: removed.append(entity_id), weak=False, dispatch_uid="test")

    assert delete(top).status_code == 204

    entity_removed.disconnect(dispatch_uid="test")
    assert list(Entity.objects.all()) == [beside]
    assert media_files() == [beside.file_path]
    assert removed.index(deep.pk) < removed.index(middle.pk) < removed.index(top.pk)
    assert sorted(removed) == sorted(History.objects.filter(history_type="-").values_list("id", flat=True))
    assert len(removed) == 6


def test_empty_folders_go_too(delete: Callable[[Entity], Any], media_root: Path) -> None:
    photo = make_photo(1)
    trash(photo)
    delete(photo)
    assert [path.name for path in (media_root / "store").iterdir()] == []


def test_streams_go_too(delete: Callable[[Entity], Any], media_root: Path) -> None:
    photo = make_photo(1)
    folder = media_root / "streams" / "image" / "jpeg" / f"media_{photo.pk}"
    folder.mkdir(parents=True)
    (folder / "adaptive.m3u8").write_text("#EXTM3U")
    trash(photo)
    delete(photo)
    assert not folder.exists()


def test_a_file_that_cannot_be_removed_does_not_stop_it(
    delete: Callable[[Entity], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = make_photo(1)
    trash(photo)

    def refuse(*_arguments: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr("entities.storage.EntityStorageService.remove", refuse)
    assert delete(photo).status_code == 204
    assert not Entity.objects.exists()
    assert DiscardedFile.objects.get().file_path == photo.file_path


def test_a_file_that_is_not_there_does_not_stop_it(delete: Callable[[Entity], Any], media_root: Path) -> None:
    photo = make_photo(1)
    (media_root / str(photo.file_path)).unlink()
    trash(photo)
    assert delete(photo).status_code == 204
    assert not DiscardedFile.objects.exists()


def test_the_same_content_can_come_again(api: Api, delete: Callable[[Entity], Any]) -> None:
    photo = make_photo(1)
    trash(photo)
    delete(photo)
    answer = api.send("post", "/entities", is_collection="false", media_file=upload(jpeg(1)))
    assert answer.status_code == 201
    assert answer.json()["id"] > photo.pk
    assert media_files() == [answer.json()["file_path"]]


def test_ids_are_never_used_again(delete: Callable[[Entity], Any]) -> None:
    last = make_collection("last")
    trash(last)
    delete(last)
    assert make_collection("next").pk > last.pk
