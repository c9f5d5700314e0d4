from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from entities.errors import StorageFullError, UploadTooLargeError
from entities.storage import EntityStorageService

PATH = "store/2026/01/02/abc.jpg"


@pytest.fixture
def storage(tmp_path: Path) -> EntityStorageService:
    return EntityStorageService(tmp_path, max_bytes=100)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_it_works(storage: EntityStorageService) -> None:
    with storage.receive([b"some ", b"bytes"]) as incoming:
        assert incoming.md5 == "9d0568469d206c1aedf1b71f12f474bc"
        assert incoming.size == 10
        storage.put_in_place(incoming, PATH)

    assert files_below(storage.media_root) == [storage.media_root / PATH]
    assert storage.resolve(PATH).read_bytes() == b"some bytes"


def test_put_ahead_it_stays(storage: EntityStorageService) -> None:
    with storage.receive([b"bytes"]) as incoming:
        storage.put_ahead(incoming, PATH)
        incoming.path.write_bytes(b"the same file")
        storage.put_in_place(incoming, PATH)

    assert files_below(storage.media_root) == [storage.media_root / PATH]
    assert storage.resolve(PATH).read_bytes() == b"the same file"


def take_away(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


def put_another(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"another")


@pytest.mark.parametrize("happens", [take_away, put_another])
def test_what_was_put_ahead_may_be_taken_away(
    storage: EntityStorageService, happens: Callable[[Path], None]
) -> None:
    with storage.receive([b"bytes"]) as incoming:
        storage.put_ahead(incoming, PATH)
        happens(storage.resolve(PATH))
        storage.put_in_place(incoming, PATH)

    assert files_below(storage.media_root) == [storage.media_root / PATH]
    assert storage.resolve(PATH).read_bytes() == b"bytes"


def test_put_ahead_for_another_place(storage: EntityStorageService) -> None:
    with storage.receive([b"bytes"]) as incoming:
        storage.put_ahead(incoming, "store/2026/01/03/abc.jpg")
        storage.put_in_place(incoming, PATH)

        assert storage.resolve(PATH).read_bytes() == b"bytes"


@pytest.mark.parametrize("number", [errno.EEXIST, errno.ENOTSUP, errno.EPERM])
def test_without_second_names_it_is_put_in_place_later(
    storage: EntityStorageService, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_paths: Path) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "link", refuse)
    with storage.receive([b"bytes"]) as incoming:
        storage.put_ahead(incoming, PATH)
        assert not storage.exists(PATH)
        storage.put_in_place(incoming, PATH)

    assert storage.resolve(PATH).read_bytes() == b"bytes"


def test_what_is_not_put_in_place_is_gone(storage: EntityStorageService) -> None:
    with storage.receive([b"bytes"]):
        assert len(files_below(storage.media_root)) == 1

    assert files_below(storage.media_root) == []


def test_a_source_that_breaks_off_leaves_nothing(storage: EntityStorageService) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        storage.receive(broken())

    assert files_below(storage.media_root) == []


def test_the_limit_is_named_and_leaves_nothing(storage: EntityStorageService) -> None:
    with pytest.raises(UploadTooLargeError, match="100 bytes"):
        storage.receive([b"x" * 60, b"x" * 60])

    assert files_below(storage.media_root) == []


def test_a_full_disk_is_told_apart(storage: EntityStorageService, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("entities.storage.os.fsync", full)
    with pytest.raises(StorageFullError):
        storage.receive([b"bytes"])

    assert files_below(storage.media_root) == []


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "store/../../outside", "link/secret"])
def test_no_path_leaves_the_folder(storage: EntityStorageService, tmp_path: Path, path: str) -> None:
    (storage.media_root / "link").symlink_to("/etc")
    with pytest.raises(ValueError, match="leaves the media folder"):
        storage.resolve(path)


def test_paths_are_by_day_and_content() -> None:
    assert EntityStorageService.file_path("abc", "jpg", date(2026, 1, 2)) == PATH
