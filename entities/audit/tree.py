"""Walking folders of any size while others write to them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def files_below(root: Path, folder: str) -> Iterator[str]:
    """Paths relative to `root`, in no order. Links are not followed; what goes meanwhile is left out."""
    folders = [folder]
    while folders:
        current = folders.pop()
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(root / current) as entries:
            for entry in entries:
                path = f"{current}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                else:
                    yield path


def written_at(path: Path) -> datetime | None:
    """None where there is nothing (any more)."""
    try:
        return datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def is_whole_png(path: Path) -> bool:
    """By its end: what was cut off has another one. True where there is nothing to look at any more."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - len(PNG_END)))
            return file.read() == PNG_END
    except FileNotFoundError:
        return True
