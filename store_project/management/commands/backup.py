from __future__ import annotations

from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from tqdm import tqdm

from entities import tallies
from intelligence import errands
from intelligence.errand_notes import ErrandError
from store_project.backup import making
from store_project.backup.databases import BackupError

NOT_WHOLE, FAILED = 1, 2


class Command(BaseCommand):
    help = (
        "Makes a backup of the running store into a folder: a consistent snapshot of the database, "
        "every file that it names, and the keys in CL_SERVER_DIR/keys. Files that the folder has "
        "already are not copied again; every backup in it is complete by itself. A backup that was "
        "interrupted is never taken for one, and those before it stay as they are. Not in it: .env, "
        "whose passwords belong elsewhere; previews, which are made again; the quarantine. While it "
        "runs no file is deleted: what was to go goes afterwards. The folder holds keys and password "
        "hashes: keep it as safe as the store. Exit code: 0 done; 1 done, but files were missing or "
        "altered already; 2 there is no backup."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("destination", type=Path, metavar="DEST", help="a folder, best on another disk")
        parser.add_argument(
            "--with-vectors",
            action="store_true",
            help="copy the vectors as well; without, a restored store computes them again",
        )

    def handle(self, *, destination: Path, with_vectors: bool, **_options: Any) -> None:
        with tqdm(desc="files", unit="", disable=None) as bar:
            try:
                made = making.make(
                    destination.absolute(),
                    with_vectors=_copy_vectors if with_vectors else None,
                    progress=partial(_tell, bar),
                )
            except (BackupError, DatabaseError, ErrandError, OSError) as error:
                raise CommandError(f"There is no backup: {error}", returncode=FAILED) from error
        self.stdout.write(
            f"{made.snapshot}: {made.files} files, of which {made.copied} are new ({made.copied_bytes} bytes)"
        )
        self._note()
        if made.missing:
            first = ", ".join(made.missing[:10])
            message = (
                f"{len(made.missing)} files were missing or altered: {first}. Run manage.py audit --deep."
            )
            raise CommandError(message, returncode=NOT_WHOLE)

    def _note(self) -> None:
        """For `doctor` and the metrics; the backup is as good without."""
        try:
            tallies.add_now(making.KIND, "ended")
        except DatabaseError as error:
            self.stderr.write(f"That it was made could not be noted in the database: {error}")


def _copy_vectors(folder: Path) -> None:
    errands.ask("write vectors", folder=str(folder), wait_seconds=4 * 3600.0)


def _tell(bar: Any, files: int, _size: int) -> None:
    bar.update(files)
