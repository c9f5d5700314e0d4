"""A program: backups onto a disk that is a little larger each time, until one fits.

    unshare --map-root-user --mount python -m tests.end_to_end.filling_disk FOLDER

FOLDER holds a backup already. It is copied to a file system in memory that nobody else sees. Prints how each
attempt has ended, and what could be restored after it, as a line of JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import django
from django.core.management import CommandError, call_command

STEP_BYTES = 40 * 1024
MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Attempt:
    code: int
    told: str
    newest: str
    """The snapshot that a restore takes."""
    wrong: list[str]


def main(destination: Path) -> None:
    django.setup()
    aside = destination.with_name("aside")
    destination.rename(aside)
    destination.mkdir()
    _mount(destination, MOST_BYTES)
    shutil.copytree(aside, destination, dirs_exist_ok=True)
    used = _used(destination)
    for room in range(STEP_BYTES, MOST_BYTES, STEP_BYTES):
        _mount(destination, used + room, "remount,")
        attempt = _attempt(destination)
        sys.stdout.write("ENDED:" + json.dumps(asdict(attempt)) + "\n")
        if attempt.code != 2:
            return


def _mount(folder: Path, size: int, options: str = "") -> None:
    command = ["mount", "-t", "tmpfs", "-o", f"{options}size={size}", "tmpfs", str(folder)]
    subprocess.run(command, check=True)


def _used(folder: Path) -> int:
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _attempt(destination: Path) -> Attempt:
    from store_project.backup import restoring  # noqa: PLC0415  (after django.setup)

    code, told = 0, ""
    try:
        call_command("backup", str(destination))
    except CommandError as error:
        code, told = error.returncode, str(error)
    found = restoring.find(destination, None)
    return Attempt(code, told, found.folder.name, restoring.verify(found, lambda *_: None))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
