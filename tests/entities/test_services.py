from __future__ import annotations

from pathlib import Path

import pytest

from entities import services
from entities.errors import ContentRequiredError, InvalidHierarchyError
from entities.metadata import UndecodableImageError
from entities.models import Entity
from entities.storage import EntityStorageService
from tests.factories import jpeg, make_collection, make_photo, store

pytestmark = pytest.mark.django_db


def stored_files() -> list[str]:
    root = EntityStorageService.from_settings().media_root
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_it_works() -> None:
    album = make_collection("Holidays", by="7")
    entity = make_photo(1, label="Beach", parent_id=album.pk, by="7")

    assert (entity.type, entity.mime_type, entity.width, entity.height) == ("image", "image/jpeg", 64, 48)
    assert entity.added_by == entity.updated_by == "7"
    assert stored_files() == [entity.file_path]
    first = entity.history.get()
    assert (first.history_type, first.md5, first.history_user_id) == ("+", entity.md5, "7")


def test_the_same_bytes_are_stored_once() -> None:
    first = store(jpeg(1), label="one")
    second = store(jpeg(1), label="two")

    assert first.created
    assert not second.created
    assert second.entity == first.entity
    assert Entity.objects.get().label == "one"
    assert stored_files() == [first.entity.file_path]


def test_bytes_in_the_trash_are_restored_when_they_come_again() -> None:
    entity = make_photo(1)
    Entity.objects.filter(pk=entity.pk).update(is_deleted=True)

    again = store(jpeg(1), by="9")

    assert not again.created
    restored = Entity.objects.get()
    assert (restored.is_deleted, restored.updated_by) == (False, "9")
    assert restored.history.count() == 2
    assert stored_files() == [entity.file_path]


def test_bytes_that_came_on_an_earlier_day_stay_where_they_are(media_root: Path) -> None:
    entity = make_photo(1)
    earlier = "store/2020/01/02/earlier.jpg"
    (media_root / earlier).parent.mkdir(parents=True)
    (media_root / (entity.file_path or "")).rename(media_root / earlier)
    Entity.objects.filter(pk=entity.pk).update(is_deleted=True, file_path=earlier)

    assert not store(jpeg(1)).created

    assert stored_files() == [earlier]


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(ContentRequiredError):
        store(b"")


def test_an_undecodable_image_leaves_nothing() -> None:
    with pytest.raises(UndecodableImageError):
        store(jpeg(1)[:400])

    assert not Entity.objects.exists()
    assert stored_files() == []


def test_unknown_bytes_are_a_file() -> None:
    entity = store(b"\x00\x01\x02 nobody knows").entity
    assert (entity.type, entity.mime_type) == ("file", "application/octet-stream")


def test_a_bad_parent_leaves_nothing() -> None:
    photo = make_photo(1)
    for parent_id, reason in [(photo.pk, "not a collection"), (photo.pk + 99, "does not exist")]:
        with pytest.raises(InvalidHierarchyError, match=reason):
            make_photo(2, parent_id=parent_id)
    assert stored_files() == [photo.file_path]


def test_ten_levels_are_the_limit() -> None:
    parent_id = None
    for level in range(1, 10):
        parent_id = make_collection(f"level {level}", parent_id=parent_id).pk
    make_photo(1, parent_id=parent_id)
    below = make_collection("level 10", parent_id=parent_id)

    with pytest.raises(InvalidHierarchyError, match="Maximum hierarchy depth exceeded"):
        make_photo(2, parent_id=below.pk)


def test_nothing_stays_when_the_row_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file may stay behind for the audit, but no row may name a file that is not there."""

    def crash(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("killed here")

    monkeypatch.setattr(Entity, "save", crash)
    with pytest.raises(RuntimeError):
        make_photo(1)

    assert not Entity.objects.exists()


def test_collections_have_no_file() -> None:
    collection = services.create_collection(label="empty")
    assert collection.is_collection
    assert collection.md5 is collection.file_path is None
