"""Where files go that belong to nobody: kept for a while, in case somebody misses them after all."""

from __future__ import annotations

import re
import shutil
from datetime import date, timedelta
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.utils import timezone

from entities.storage import EntityStorageService

FOLDER = "quarantine"
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def put_away(storage: EntityStorageService, file_path: str) -> str | None:
    """One rename, within the media folder. Answers where it lies now; None where there was nothing."""
    source = storage.resolve(file_path)
    target = PurePosixPath(FOLDER, f"{timezone.now():%Y-%m-%d}", file_path)
    for number in range(1000):
        numbered = target if number == 0 else target.with_name(f"{target.name}.{number}")
        path = storage.resolve(str(numbered))
        if not path.exists():
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        source.rename(path)
    except FileNotFoundError:
        return None
    storage.remove(file_path)  # the folders that it leaves empty
    return str(numbered)


def purge(media_root: Path, *, today: date) -> list[str]:
    """Removes the days that are over for QUARANTINE_DAYS, and answers which those were."""
    last_kept = today - timedelta(days=settings.QUARANTINE_DAYS)
    folder = media_root / FOLDER
    days = sorted(path.name for path in folder.glob("*") if _DAY.fullmatch(path.name))
    over = [day for day in days if date.fromisoformat(day) < last_kept]
    for day in over:
        shutil.rmtree(folder / day)
    return over
