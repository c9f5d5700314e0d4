"""A person's first question: is all well, and if not, what is to be done?"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from store_project.diagnosis import Advice, Level, examine


class Command(BaseCommand):
    help = (
        "Looks at everything the store depends on: settings, database, migrations, broker, workers, vectors, "
        "models, disk, folders and keys, clocks, MQTT, pauses, what waits, what has failed, who else works "
        "on the folder, and the last backup. Says for each what is wrong and what to do. Changes nothing. "
        "Exit code 0 if nothing is wrong (warnings allowed), 1 if something is, 2 if the settings cannot be "
        "read."
    )
    requires_system_checks = []  # they are told with the rest

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="a list of objects instead of lines")

    def handle(self, *, json: bool, **_options: Any) -> None:
        found = list(examine()) if json else list(self._told(examine()))
        if json:
            self.stdout.write(_as_json(found))
        if any(advice.level is Level.WRONG for advice in found):
            sys.exit(1)

    def _told(self, advices: Iterable[Advice]) -> Iterable[Advice]:
        for advice in advices:
            self.stdout.write(f"{advice.level:<8} {advice.subject:<12} {advice.text}")
            if advice.remedy:
                self.stdout.write(f"{'':<21} -> {advice.remedy}")
            self.stdout.flush()
            yield advice


def _as_json(found: Iterable[Advice]) -> str:
    return json.dumps([asdict(advice) for advice in found], indent=1)
