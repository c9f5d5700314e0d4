from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count, Min
from django.utils import timezone
from tqdm import tqdm

from entities import services, trash
from entities.errors import EntityNotFoundError
from entities.models import Removal
from entities.storage import EntityStorageService

NOT_FOUND, BAD_USAGE = 1, 2


class Command(BaseCommand):
    help = (
        "Looks into the trash, empties it, and takes things out of it; can run beside the store. Very large "
        "collections are out of sight at once and go slice by slice: status says how far that is. "
        "Exit code: 0 done, also where there was nothing to do; 1 a named entity is not there; 2 bad usage."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="subcommand", required=True)
        commands.add_parser("status", help="What lies there since when, and what is being removed.")
        purge = commands.add_parser("purge", help="Removes for good what has lain there for long.")
        purge.add_argument("--older-than", type=int, metavar="DAYS", help="instead of TRASH_RETENTION_DAYS")
        purge.add_argument("--dry-run", action="store_true", help="name it; remove nothing")
        restore = commands.add_parser("restore", help="Takes entities out of the trash, with all below them.")
        restore.add_argument("entity", type=int, nargs="+", metavar="ENTITY", help="its id")

    def handle(self, *, subcommand: str, **options: Any) -> None:
        getattr(self, f"_{subcommand}")(options)

    def _status(self, _options: dict[str, Any]) -> None:
        told = trash.contents().aggregate(number=Count("pk"), since=Min("trashed_at"))
        since = f", the oldest since {told['since']:%F %T}" if told["number"] else ""
        self.stdout.write(f"in the trash: {told['number']}{since}")
        roots = Removal.objects.values("root").annotate(left=Count("pk"), since=Min("started_at"))
        for each in roots.order_by("root"):
            self.stdout.write(
                f"being removed since {each['since']:%F %T}: {each['root']}, {each['left']} are left"
            )

    def _purge(self, options: dict[str, Any]) -> None:
        days = options["older_than"] if options["older_than"] is not None else settings.TRASH_RETENTION_DAYS
        if options["older_than"] is None and not days:
            raise CommandError("Say --older-than DAYS: TRASH_RETENTION_DAYS is 0.", returncode=BAD_USAGE)
        before = timezone.now() - timedelta(days=days)
        if options["dry_run"]:
            for each in trash.older_than(before):
                self.stdout.write(f"{each.pk} {each.label or ''} since {each.trashed_at:%F %T}")
            return
        removed = services.purge_trash(EntityStorageService.from_settings(), before=before)
        number = sum(1 for _ in tqdm(removed, desc="removed", unit="", disable=None))
        self.stdout.write(f"{number} removed for good.")

    def _restore(self, options: dict[str, Any]) -> None:
        missing = []
        for entity_id in options["entity"]:
            try:
                services.patch_entity(entity_id, {"is_deleted": False})
            except EntityNotFoundError:
                missing.append(entity_id)
        if missing:
            raise CommandError(f"There is no {', '.join(map(str, missing))}.", returncode=NOT_FOUND)
