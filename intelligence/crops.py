"""Files of face crops: a folder an image, a name each detection, so that a repeat never overwrites."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from entities import holding
from entities.storage import EntityStorageService
from intelligence.models import EntityJob

ENTITIES_PER_FOLDER = 1000


def folder_of(entity_id: int) -> PurePosixPath:
    return PurePosixPath("faces", str(entity_id // ENTITIES_PER_FOLDER), str(entity_id))


def write(storage: EntityStorageService, job: EntityJob, crops: Iterable[bytes]) -> list[str]:
    """Paths relative to the media folder. Writing the same detection again gives the same files."""
    crops = list(crops)
    paths = [str(folder_of(job.entity_id) / f"{job.pk}-{index}.png") for index in range(len(crops))]
    for path, crop in zip(paths, crops, strict=True):
        _write_whole(storage.resolve(path), crop)
    return paths


def _write_whole(target: Path, data: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(f".{os.getpid()}.part")
    try:
        partial.write_bytes(data)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def remove_all(storage: EntityStorageService, entity_ids: Iterable[int]) -> None:
    if holding.is_held():  # an audit finds them
        return
    for entity_id in entity_ids:
        shutil.rmtree(storage.resolve(str(folder_of(entity_id))), ignore_errors=True)


def remove_others(storage: EntityStorageService, entity_id: int, keep: Iterable[str]) -> None:
    """Crops of earlier detections of the image."""
    kept = {storage.resolve(path) for path in keep}
    folder = storage.resolve(str(folder_of(entity_id)))
    others = [path for path in folder.glob("*.png") if path not in kept]
    if others and not holding.is_held():
        for path in others:
            path.unlink(missing_ok=True)
