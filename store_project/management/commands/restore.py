from __future__ import annotations

from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from intelligence import vector_copies
from store_project.backup import restoring
from store_project.backup.databases import BackupError
from store_project.backup.restoring import Backup
from vectors import VectorStoreError

NOT_EMPTY, UNUSABLE = 1, 2


class Command(BaseCommand):
    help = (
        "Puts a backup back: files, database, keys, and vectors if it holds any; vectors that it does "
        "not hold are computed again. All of the backup is read and compared with its hashes before "
        "anything is touched. The store must not run, and must be empty unless --replace is given. It "
        "can be run again if it was interrupted. Settings of .env are not in a backup. Exit code: 0 "
        "done; 1 the store is not empty; 2 the backup cannot be used, or the store runs."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", type=Path, metavar="SRC", help="the folder that was given to backup")
        parser.add_argument("--snapshot", metavar="NAME", help="of SRC/snapshots; the newest unless named")
        parser.add_argument(
            "--replace", action="store_true", help="also a store that is not empty: its rows go"
        )
        parser.add_argument("--dry-run", action="store_true", help="verify, and say what would be done")

    def handle(self, *, source: Path, **options: Any) -> None:
        try:
            self._restore(restoring.find(source, options["snapshot"]), options)
        except (BackupError, VectorStoreError, OSError) as error:
            raise CommandError(str(error), returncode=UNUSABLE) from error

    def _restore(self, backup: Backup, options: dict[str, Any]) -> None:
        files = backup.manifest["files"]
        with tqdm(desc="verified", total=files, unit="", disable=None) as bar:
            wrong = restoring.verify(backup, partial(_tell, bar))
        if wrong:
            raise BackupError(f"{len(wrong)} parts of the backup are not whole: {', '.join(wrong[:10])}")
        there = restoring.what_is_there()
        if there and not options["replace"]:
            message = f"The store has {there}: --replace puts the backup in their place."
            raise CommandError(message, returncode=NOT_EMPTY)
        told = f"the backup of {backup.manifest['made_at']} with {files} files"
        if options["dry_run"]:
            self.stdout.write(f"Is whole, and would be put back: {told}.")
            return
        with tqdm(desc="put back", total=files, unit="", disable=None) as bar:
            restoring.restore(backup, partial(_tell, bar))
        call_command("migrate", verbosity=0)
        vector_copies.forget_all()
        vectors = vector_copies.read(backup.folder / "vectors")
        self.stdout.write(
            f"Put back: {told} and {vectors} vectors. Missing vectors are computed by the workers."
        )


def _tell(bar: Any, files: int, _size: int) -> None:
    bar.update(files)
