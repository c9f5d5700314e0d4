"""The media folder: files are received under a temporary name, put in place whole, and stay inside it."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Self

from django.conf import settings
from django.db import OperationalError

from entities.errors import StorageFullError, UploadTooLargeError

CHUNK_BYTES = 1024 * 1024
OUT_OF_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
DATABASE_OUT_OF_SPACE = ("database or disk is full", "No space left on device")
NO_LINK = {errno.EEXIST, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EPERM}
"""A file system without second names for a file answers with one of these, or the name is taken."""
INCOMING = "incoming"
INTENT = ".intent"
FOLDER_ATTEMPTS = 100
ABANDONED_SECONDS = 24 * 3600
"""No upload takes longer; what is older was left by a process that died."""


@contextmanager
def disk_full_explained() -> Iterator[None]:
    """The database may lie on the same disk, so it is asked too."""
    try:
        yield
    except OSError as error:
        if error.errno in OUT_OF_SPACE:
            raise StorageFullError("The disk is full; free some space and try again.") from error
        raise
    except OperationalError as error:
        if any(text in str(error) for text in DATABASE_OUT_OF_SPACE):
            raise StorageFullError("The database's disk is full; free some space and try again.") from error
        raise


class IncomingFile:
    """A file on its way in: hashed while it is written, gone unless it is put in place."""

    def __init__(self, path: Path, *, max_bytes: int) -> None:
        self.path = path
        self.size = 0
        self._max_bytes = max_bytes
        self._hash = hashlib.md5(usedforsecurity=False)
        self._file = path.open("xb")
        self._identity: tuple[int, int] | None = None
        self._ahead: tuple[str, Path] | None = None

    @property
    def md5(self) -> str:
        return self._hash.hexdigest()

    def write(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > self._max_bytes:
            raise UploadTooLargeError(f"The file is larger than the limit of {self._max_bytes} bytes.")
        self._hash.update(chunk)
        with disk_full_explained():
            self._file.write(chunk)

    def finish(self) -> None:
        """After this the bytes survive a power cut."""
        with disk_full_explained():
            self._file.flush()
            os.fsync(self._file.fileno())
            status = os.fstat(self._file.fileno())
        self._identity = status.st_dev, status.st_ino
        self._file.close()

    def stands_ahead(self, file_path: str, target: Path) -> None:
        self._ahead = file_path, target

    def stands_at(self, file_path: str) -> bool:
        """Whether it was put there ahead, and has not been taken away since."""
        if self._ahead is None or self._ahead[0] != file_path:
            return False
        with suppress(FileNotFoundError):
            status = self._ahead[1].stat()
            return (status.st_dev, status.st_ino) == self._identity
        return False

    def discard(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.discard()


class EntityStorageService:
    def __init__(self, media_root: Path, *, max_bytes: int) -> None:
        self.media_root = media_root
        self._max_bytes = max_bytes

    @classmethod
    def from_settings(cls) -> Self:
        return cls(Path(settings.MEDIA_ROOT), max_bytes=settings.MAX_UPLOAD_BYTES)

    def resolve(self, file_path: str) -> Path:
        """Raises ValueError for a path that leaves the media folder, through `..`, a root or a link."""
        path = (self.media_root / file_path).resolve()
        if not path.is_relative_to(self.media_root.resolve()):
            raise ValueError(f"{file_path!r} leaves the media folder")
        return path

    @staticmethod
    def file_path(md5: str, extension: str, day: date) -> str:
        return str(PurePosixPath("store", f"{day:%Y/%m/%d}", f"{md5}.{extension}"))

    def incoming(self) -> IncomingFile:
        folder = self.media_root / INCOMING  # same file system, so that putting in place is a rename
        with disk_full_explained():
            folder.mkdir(parents=True, exist_ok=True)
            return IncomingFile(folder / secrets.token_hex(16), max_bytes=self._max_bytes)

    def receive(self, chunks: Iterable[bytes]) -> IncomingFile:
        incoming = self.incoming()
        try:
            for chunk in chunks:
                incoming.write(chunk)
            incoming.finish()
        except BaseException:
            incoming.discard()
            raise
        return incoming

    def put_in_place(self, incoming: IncomingFile, file_path: str) -> None:
        """When this returns, `file_path` is whole and its name survives a power cut."""
        if incoming.stands_at(file_path):
            return
        target = self.resolve(file_path)
        with disk_full_explained():
            self._name(target, incoming.path.replace)
            sync_folder(target.parent)

    def put_ahead(self, incoming: IncomingFile, file_path: str) -> None:
        """Spares `put_in_place` the disk, for which nobody should wait while all others wait for a lock.

        Nothing holds the name until then: it is a second one of the file, and may be taken away again.
        """
        target = self.resolve(file_path)
        with disk_full_explained():
            try:
                self._name(target, partial(os.link, incoming.path))
            except OSError as error:
                if error.errno not in NO_LINK:
                    raise
                return
            sync_folder(target.parent)
        incoming.stands_ahead(file_path, target)

    def _name(self, target: Path, give: Callable[[Path], object]) -> None:
        for _ in range(FOLDER_ATTEMPTS):
            self._make_folder(target.parent)
            with suppress(FileNotFoundError):
                give(target)
                return
        raise FileNotFoundError(f"{target.parent} is removed as often as it is made, or the file is gone")

    def _make_folder(self, folder: Path) -> None:
        while not folder.is_dir():
            self._make_folder(folder.parent)
            with suppress(FileNotFoundError):
                folder.mkdir(exist_ok=True)
                sync_folder(folder.parent)

    def exists(self, file_path: str) -> bool:
        return self.resolve(file_path).is_file()

    def remove(self, file_path: str) -> None:
        """With the folders that it leaves empty."""
        path = self.resolve(file_path)
        path.unlink(missing_ok=True)
        root = self.media_root.resolve()
        for folder in path.parents:
            if folder.parent in {root, root.parent} or not _remove_if_empty(folder):
                return

    def remove_folder(self, folder: str) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self.resolve(folder))

    def remove_abandoned(self) -> int:
        """Takes away what uploads left that died with their process. Returns how many files that were."""
        before = time.time() - ABANDONED_SECONDS
        files = (path for path in (self.media_root / INCOMING).glob("*") if path.suffix != INTENT)
        return sum(_remove_if_older(path, before) for path in files)

    def intend(self, incoming: IncomingFile, file_path: str) -> Path:
        """Notes where the file is to go, until that is committed or taken back. Returns the note."""
        note = incoming.path.with_suffix(INTENT)
        note.write_text(file_path)
        return note

    def abandoned_intents(self) -> list[tuple[Path, str]]:
        """The notes of processes that died, each with its path; that is empty if it was not written yet."""
        before = time.time() - ABANDONED_SECONDS
        found = []
        for note in (self.media_root / INCOMING).glob(f"*{INTENT}"):
            with suppress(FileNotFoundError):
                if note.stat().st_mtime < before:
                    found.append((note, note.read_text()))
        return found


def _remove_if_older(path: Path, before: float) -> bool:
    try:
        if path.stat().st_mtime >= before:
            return False
        path.unlink()
    except FileNotFoundError:  # its upload has ended, or somebody else was faster
        return False
    return True


def _remove_if_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:  # not empty, or somebody else was faster
        return False
    return True


def read_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
