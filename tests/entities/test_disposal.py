"""Files that were taken from entities, or never became an entity's: they go, and nothing else does."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from entities import disposal, holding, services
from entities.holding import all_files_held
from entities.models import DiscardedFile, Entity, ServiceConfig
from entities.previews import PreviewService
from entities.storage import ABANDONED_SECONDS, EntityStorageService
from entities.tasks import sweep_files
from store_project.celery import BEAT_SCHEDULE, app
from tests.entities.api.client import media_files
from tests.factories import jpeg, make_photo

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "store/2026/01/02/0123456789abcdef0123456789abcdef.jpg"
MD5 = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def storage(media_root: Path) -> EntityStorageService:
    return EntityStorageService.from_settings()


def put(storage: EntityStorageService, file_path: str) -> Path:
    path = storage.resolve(file_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"bytes")
    return path


def discarded(file_path: str, md5: str = MD5) -> None:
    DiscardedFile.objects.create(entity_id=4711, md5=md5, file_path=file_path, mime_type="image/jpeg")


def let_time_pass(storage: EntityStorageService, seconds: float) -> None:
    then = time.time() - seconds
    for path in (storage.media_root / "incoming").iterdir():
        os.utime(path, (then, then))


def died_in_an_upload(storage: EntityStorageService, file_path: str, *, moved: bool) -> None:
    """What is there when the process has died before or after the file was put in place."""
    incoming = storage.receive([b"bytes"])
    storage.intend(incoming, file_path)
    if moved:
        storage.put_in_place(incoming, file_path)


def test_it_works(storage: EntityStorageService) -> None:
    photo = make_photo(1)
    put(storage, PATH)
    discarded(PATH)

    sweep_files()

    assert media_files() == [photo.file_path]
    assert not DiscardedFile.objects.exists()
    sweep_files()


def test_while_files_are_held_none_goes(storage: EntityStorageService) -> None:
    photo = make_photo(1)
    services.patch_entity(photo.pk, {"is_deleted": True})
    put(storage, PATH)
    discarded(PATH)
    with all_files_held():
        services.remove_entity(photo.pk, storage=storage)
        sweep_files()
        assert media_files() == sorted([PATH, str(photo.file_path)])
    sweep_files()
    assert media_files() == []


def test_who_held_them_and_died_is_forgotten(storage: EntityStorageService) -> None:
    put(storage, PATH)
    discarded(PATH)
    ServiceConfig.objects.create(key=holding.KEY, value=True)
    sweep_files()
    assert media_files() == [PATH]
    ServiceConfig.objects.update(updated_at=timezone.now() - holding.FORGOTTEN_AFTER)
    sweep_files()
    assert media_files() == []


def test_a_file_that_an_entity_names_again_stays(storage: EntityStorageService) -> None:
    photo = make_photo(1)
    discarded(photo.file_path or "", photo.md5 or "")

    sweep_files()

    assert media_files() == [photo.file_path]
    assert not DiscardedFile.objects.exists()


@pytest.mark.parametrize("came_back", [True, False])
def test_a_preview_goes_with_the_last_that_has_the_content(
    storage: EntityStorageService, *, came_back: bool
) -> None:
    """The same bytes may have come back on another day, to another path."""
    photo = make_photo(1)
    preview = PreviewService(storage.media_root, max_pixels=settings.MAX_IMAGE_PIXELS).preview_path(MD5)
    put(storage, str(preview.relative_to(storage.media_root)))
    put(storage, PATH)
    discarded(PATH)
    Entity.objects.filter(pk=photo.pk).update(md5=MD5 if came_back else photo.md5)

    sweep_files()

    assert preview.exists() == came_back
    assert not storage.exists(PATH)


def test_what_cannot_be_removed_waits_for_the_next_time(storage: EntityStorageService) -> None:
    in_the_way = put(storage, f"{PATH}/a file in a folder of that name")
    other = PATH.replace("01/02", "01/03")
    put(storage, other)
    discarded(PATH)
    discarded(other)

    sweep_files()
    assert DiscardedFile.objects.get().file_path == PATH
    assert not storage.exists(other)

    in_the_way.unlink()
    in_the_way.parent.rmdir()
    sweep_files()
    assert not DiscardedFile.objects.exists()


@pytest.mark.parametrize("moved", [True, False])
def test_an_upload_that_died(storage: EntityStorageService, moved: bool) -> None:  # noqa: FBT001
    """It is left alone while it may yet live."""
    died_in_an_upload(storage, PATH, moved=moved)
    let_time_pass(storage, ABANDONED_SECONDS - 60)
    there = media_files()
    sweep_files()
    assert media_files() == there != []

    let_time_pass(storage, ABANDONED_SECONDS + 60)
    sweep_files()
    assert media_files() == []


def test_an_upload_that_died_after_its_commit_keeps_its_file(storage: EntityStorageService) -> None:
    photo = make_photo(1)
    with storage.receive([jpeg(1)]) as incoming:
        storage.intend(incoming, photo.file_path or "")
    let_time_pass(storage, ABANDONED_SECONDS + 60)

    sweep_files()

    assert media_files() == [photo.file_path]


def test_a_note_that_was_not_written_whole(storage: EntityStorageService) -> None:
    died_in_an_upload(storage, "", moved=False)
    let_time_pass(storage, ABANDONED_SECONDS + 60)
    sweep_files()
    assert media_files() == []


@pytest.mark.parametrize("is_named", [True, False])
def test_a_failed_transaction_takes_its_file_back(storage: EntityStorageService, *, is_named: bool) -> None:
    """Unless a row names it: what seems to fail may have been committed."""
    photo = make_photo(1)
    if not is_named:
        Entity.objects.filter(pk=photo.pk).delete()
    with (
        storage.receive([jpeg(1)]) as incoming,
        pytest.raises(RuntimeError),
        disposal.taken_back_on_failure(storage, incoming, photo.file_path or ""),
    ):
        raise RuntimeError
    assert media_files() == ([photo.file_path] if is_named else [])


def test_several_sweeps_at_once(storage: EntityStorageService) -> None:
    photos = [make_photo(seed) for seed in range(4)]
    for number in range(250):
        md5 = f"{number:032x}"
        discarded(str(put(storage, f"store/2026/01/02/{md5}.jpg").relative_to(storage.media_root)), md5)

    def sweep(_number: int) -> None:
        try:
            disposal.dispose(storage)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sweep, range(4)))

    assert media_files() == sorted(photo.file_path or "" for photo in photos)
    assert not DiscardedFile.objects.exists()


def test_a_change_does_not_clear_up_after_others(storage: EntityStorageService) -> None:
    """Whoever removes one entity does not wait for what a crash has left of a thousand."""
    photo = make_photo(1)
    discarded(PATH)
    with transaction.atomic():
        disposal.discard(storage, [photo])
        photo.delete()

    assert DiscardedFile.objects.get().file_path == PATH


def test_the_schedule_names_tasks_that_exist() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in BEAT_SCHEDULE.values()} <= app.tasks.keys()
    assert "entities.tasks.sweep_files" in {entry["task"] for entry in BEAT_SCHEDULE.values()}
