"""Removing files that were taken from entities: after the commit, or by a sweep if the process dies first.

The same bytes may be on their way in again. Whoever gives a file to an entity holds its content lock until
the row is committed; here the lock is held, and the rows are asked, while the file goes.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.db import transaction

from entities import holding, locks, streams
from entities.models import DiscardedFile, Entity
from entities.previews import PreviewService
from entities.storage import EntityStorageService, IncomingFile

logger = logging.getLogger(__name__)

BATCH_SIZE = 100


def discard(storage: EntityStorageService, entities: Iterable[Entity]) -> None:
    """To be called with the rows as they were, in the transaction that takes their files from them."""
    discarded = DiscardedFile.objects.bulk_create(
        [
            DiscardedFile(
                entity_id=entity.pk,
                md5=entity.md5,
                file_path=entity.file_path,
                mime_type=entity.mime_type or "",
            )
            for entity in entities
            if entity.file_path and entity.md5
        ],
        batch_size=BATCH_SIZE,
    )

    def dispose_these() -> None:  # no partial: Django asks for its name to log an error
        _dispose_these(storage, discarded)

    transaction.on_commit(dispose_these, robust=True)


def _dispose_these(storage: EntityStorageService, discarded: Sequence[DiscardedFile]) -> None:
    """What others left is the sweep's: a request does not wait for it."""
    for start in range(0, len(discarded), BATCH_SIZE):
        _dispose_batch(storage, discarded[start : start + BATCH_SIZE])


def dispose(storage: EntityStorageService) -> None:
    """All that is left. Safe to run twice, or at once. What cannot be removed stays for the next time."""
    for intent, file_path in storage.abandoned_intents():
        if file_path:
            _take_back(storage, intent, file_path)
        intent.unlink(missing_ok=True)
    last = 0
    while batch := list(DiscardedFile.objects.filter(pk__gt=last).order_by("pk")[:BATCH_SIZE]):
        last = batch[-1].pk
        _dispose_batch(storage, batch)


def _dispose_batch(storage: EntityStorageService, batch: Sequence[DiscardedFile]) -> None:
    if holding.is_held():
        return
    with transaction.atomic():
        md5s = sorted({file.md5 for file in batch})
        for md5 in md5s:
            locks.hold(locks.content(md5))
        named = _named(md5s)
        gone = [file.pk for file in batch if _is_removed(storage, file, named.get(file.md5))]
        DiscardedFile.objects.filter(pk__in=gone).delete()


def _is_removed(storage: EntityStorageService, file: DiscardedFile, named: str | None) -> bool:
    try:
        _remove_unless_named(storage, file.md5, file.file_path, named)
        storage.remove_folder(streams.folder_of(file.entity_id, file.mime_type))
    except OSError as error:
        logger.warning("%s cannot be removed now; a sweep will try again: %s", file.file_path, error)
        return False
    return True


def _named(md5s: Collection[str]) -> dict[str | None, str | None]:
    """The paths of those contents that entities have."""
    return dict(Entity.all_rows.filter(md5__in=md5s).values_list("md5", "file_path"))


def _remove_unless_named(storage: EntityStorageService, md5: str, file_path: str, named: str | None) -> None:
    if named != file_path:
        storage.remove(file_path)
    if named is None:
        PreviewService(storage.media_root, max_pixels=settings.MAX_IMAGE_PIXELS).remove(md5)


@contextmanager
def taken_back_on_failure(
    storage: EntityStorageService, incoming: IncomingFile, file_path: str
) -> Iterator[None]:
    """Around a transaction that puts a file in place. The sweep does it if the process dies in between."""
    intent = storage.intend(incoming, file_path)
    try:
        yield
    except BaseException:
        _take_back(storage, intent, file_path)
        raise
    intent.unlink()


def _take_back(storage: EntityStorageService, intent: Path, file_path: str) -> None:
    """The database is asked how the transaction ended: even a commit that failed may have succeeded."""
    md5 = PurePosixPath(file_path).stem
    with transaction.atomic():
        locks.hold(locks.content(md5))
        _remove_unless_named(storage, md5, file_path, _named([md5]).get(md5))
    intent.unlink(missing_ok=True)
