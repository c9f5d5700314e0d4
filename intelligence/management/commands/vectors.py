"""Whether all vectors are there, and having lost ones made again. What it does lies in vector_audit."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from intelligence import errands, hints
from intelligence.errand_notes import ErrandError
from intelligence.management.commands.reembed import TASKS

UNREACHABLE = 3
SUBCOMMANDS = {
    "status": "How many vectors there are of each model, how many are lost, which have no owner.",
    "rebuild": (
        "Asks for every lost vector again, behind all other work; the collections are made anew where they "
        "are gone. A worker does the same by and by."
    ),
}


class Command(BaseCommand):
    help = (
        "Compares the vectors with what the store knows of its images. Vectors are derived: losing them, "
        "even all of them, costs the time to compute them again. Can run beside the store. "
        "Exit code: 0 done; 1 vectors are missing (status); 2 bad usage; 3 the vectors cannot be reached."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="subcommand", required=True)
        for name, text in SUBCOMMANDS.items():
            parser = commands.add_parser(name, help=text, description=text)
            parser.add_argument("--task", choices=TASKS, nargs="+", default=list(TASKS), help="only these")
            parser.add_argument("--json", action="store_true", help="for scripts")
            if name == "rebuild":
                parser.add_argument("--dry-run", action="store_true", help="say how many; change nothing")

    def handle(self, *, subcommand: str, **options: Any) -> None:
        mend = subcommand == "rebuild" and not options["dry_run"]
        tasks = [TASKS[name].value for name in options["task"]]
        try:
            found: list[dict[str, Any]] = errands.ask("check", tasks=tasks, mend=mend)
        except ErrandError as error:
            raise CommandError(str(error), returncode=UNREACHABLE) from error
        hints.dispatch()
        if options["json"]:
            self.stdout.write(json.dumps(found))
        else:
            self.stdout.writelines(_in_words(each, mend=mend) for each in found)
        if subcommand == "status" and any(each["lost"] for each in found):
            raise CommandError("Vectors are missing: manage.py vectors rebuild asks for them.", returncode=1)


def _in_words(each: dict[str, Any], *, mend: bool) -> str:
    line = f"{each['task']} {each['model']} ({each['state']}): {each['vectors']} vectors, {each['lost']} lost"
    if mend:
        line += f", {each['asked_again']} asked for again"
    if each["orphans"]:
        ids = ", ".join(map(str, each["first_orphans"]))
        line += f", {each['orphans']} without an owner ({ids}{' ...' if each['orphans'] > len(ids) else ''})"
    return line + "\n"
