from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from intelligence.people.copies import Reader, lines

WAITING, BAD_USAGE = 1, 2


class Command(BaseCommand):
    help = (
        "Writes what people have decided (names, who a face is and is not, who is not the same) as "
        "lines of JSON, and reads it into another store of the same images, such as one that was built "
        "anew from its files. Reading can be repeated: what is decided already stays. Exit code: 0 "
        "done; 1 some of it waits for its image or its face, read it again later; 2 bad usage."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="subcommand", required=True)
        write = commands.add_parser("export", help="Writes them into a file.")
        write.add_argument("file", type=Path, metavar="FILE")
        read = commands.add_parser("import", help="Reads them from such a file.")
        read.add_argument("file", type=Path, metavar="FILE")
        read.add_argument("--dry-run", action="store_true", help="say what would become of it")

    def handle(self, *, subcommand: str, file: Path, **options: Any) -> None:
        try:
            if subcommand == "export":
                self._export(file)
            else:
                self._import(file, dry_run=options["dry_run"])
        except OSError as error:
            raise CommandError(str(error), returncode=BAD_USAGE) from error
        except (ValueError, KeyError) as error:
            raise CommandError(f"{file} is no such file: {error!r}", returncode=BAD_USAGE) from error

    def _export(self, file: Path) -> None:
        partial, number = file.with_name(f"{file.name}.part"), 0
        with partial.open("w") as written:
            for number, line in enumerate(lines(), start=1):  # noqa: B007  (told afterwards)
                written.write(line + "\n")
        partial.replace(file)
        self.stdout.write(f"{number} written.")

    def _import(self, file: Path, *, dry_run: bool) -> None:
        with file.open() as copied, transaction.atomic():
            ended = Reader().read(copied)
            if dry_run:
                transaction.set_rollback(True)
        told = ", ".join(f"{number} {name}" for name, number in sorted(ended.items())) or "nothing to do"
        if ended["waiting"]:
            raise CommandError(f"{told}.", returncode=WAITING)
        self.stdout.write(f"{told}.")
