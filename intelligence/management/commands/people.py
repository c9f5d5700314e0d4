from __future__ import annotations

import json
from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from intelligence import errands, people
from intelligence.errand_notes import ErrandError
from intelligence.people import listing

HELP = """The people that were found on images: look at them, and put right who is who.

  manage.py people list                 who there is, with ids and numbers of faces
  manage.py people recluster --dry-run  what looking at all faces together would change
  manage.py people recluster            the same, done: in one step, which `undo` takes back
  manage.py people merge 7 12 31        12 and 31 are the same person as 7
  manage.py people undo 42              takes operation 42 back

Ends with 1 where nothing could be done, and says why."""


class Command(BaseCommand):
    help = HELP

    def create_parser(self, *arguments: Any, **options: Any) -> Any:
        return super().create_parser(*arguments, **options, formatter_class=RawDescriptionHelpFormatter)

    def add_arguments(self, parser: CommandParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        shown = actions.add_parser("list", help="Who there is.")
        shown.add_argument("--min-faces", type=int, default=2, help="Of those without a name (2).")
        clustered = actions.add_parser(
            "recluster", help="Puts together, and takes apart, what came in an unlucky order."
        )
        clustered.add_argument("--dry-run", action="store_true", help="Only say what would change.")
        merged = actions.add_parser("merge", help="Several are one person.")
        merged.add_argument("survivor", type=int, help="Who stays.")
        merged.add_argument("others", type=int, nargs="+", help="Who goes.")
        undone = actions.add_parser("undo", help="Takes an operation back.")
        undone.add_argument("operation", type=int)
        for action in (shown, clustered, merged, undone):
            action.add_argument("--json", action="store_true", help="Say it as JSON, for scripts.")

    def handle(self, *arguments: Any, **options: Any) -> None:
        try:
            told = getattr(self, f"_{options['action']}")(options)
        except (people.PeopleError, people.ConflictError, people.UnknownError, ErrandError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(told, indent=1))
        else:
            self._say(told)

    def _list(self, options: dict[str, Any]) -> list[dict[str, Any]]:
        found = listing.find_people(min_faces=options["min_faces"], with_hidden=True)
        return [
            {
                "id": person.pk,
                "name": person.name,
                "faces": person.face_count,  # type: ignore[attr-defined]  # annotated
                "hidden": person.hidden,
            }
            for person in found
        ]

    def _recluster(self, options: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = errands.ask("recluster", dry_run=options["dry_run"])
        return result

    def _merge(self, options: dict[str, Any]) -> dict[str, Any]:
        operation = people.merge(survivor_id=options["survivor"], other_ids=options["others"], by=None)
        return {"operation": operation.pk, "summary": operation.summary}

    def _undo(self, options: dict[str, Any]) -> dict[str, Any]:
        operation = people.undo(operation_id=options["operation"], by=None)
        return {"operation": operation.pk, "summary": operation.summary}

    def _say(self, told: Any) -> None:
        if isinstance(told, list):
            for person in told:
                name = person["name"] or "-"
                self.stdout.write(f"{person['id']:>8} {person['faces']:>7} faces  {name}")
            return
        for what, number in told.get("figures", {}).items():
            self.stdout.write(f"{number:>8} {what}")
        if "summary" in told:
            self.stdout.write(told["summary"])
        if told["operation"] is None:
            self.stdout.write("Nothing was changed.")
        else:
            self.stdout.write(
                f"Operation {told['operation']}; `people undo {told['operation']}` takes it back."
            )
