"""Whether all that belongs together is there. What it does lies in entities/audit and intelligence/audit."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from tqdm import tqdm

from entities.audit.findings import Finding, Outcome
from intelligence import errands, hints
from intelligence.audit import whole

FOUND, UNREACHABLE = 1, 3
_AGO = re.compile(r"(\d{1,6})([hd])")


def moment(text: str) -> datetime:
    if ago := _AGO.fullmatch(text):
        number = int(ago[1])
        return timezone.now() - (timedelta(hours=number) if ago[2] == "h" else timedelta(days=number))
    try:
        day = parse_date(text)
        found = parse_datetime(text) if day is None else datetime(day.year, day.month, day.day)  # noqa: DTZ001  (made aware below)
    except ValueError:
        found = None
    if found is None:
        raise ArgumentTypeError(f"{text!r} is neither 36h, 7d, 2026-11-24 nor 2026-11-24T08:00")
    return found if timezone.is_aware(found) else timezone.make_aware(found)


class Command(BaseCommand):
    help = (
        "Compares the database with the files, previews, crops, vectors, the spool and what the MQTT "
        "broker keeps, both ways: what belongs to nothing, and what is missing. Only reads, unless told to "
        "mend, and can run beside the store. What has changed within AUDIT_GRACE_SECONDS is left alone. With "
        "--fix, files go to media/quarantine, missing work is asked for again, and each item is looked at "
        "once more under its lock; it can be interrupted and run again. "
        "Exit code: 0 all is well, or all is mended or asked for again; 1 something is wrong, or cannot be "
        "mended; 2 bad usage; 3 something could not be looked at."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="a line of JSON for each finding")
        parser.add_argument("--fix", action="store_true", help="mend what can be mended")
        parser.add_argument(
            "--since",
            type=moment,
            metavar="WHEN",
            help="only rows and files that have changed since: 36h, 7d, a date or a time. What has no date "
            "of its own, such as counts and vectors, is looked at all the same",
        )
        parser.add_argument("--deep", action="store_true", help="read every file and compare its bytes")
        parser.add_argument("--grace", type=float, metavar="SECONDS", help="instead of AUDIT_GRACE_SECONDS")

    def handle(self, **options: Any) -> None:
        audit = whole.auditor(
            errands.ask, grace_seconds=options["grace"], since=options["since"], deep=options["deep"]
        )
        found = _with_progress(audit.look(), hidden=options["json"])
        ended: Iterable[tuple[Finding, Outcome | None]]
        ended = audit.mend(found) if options["fix"] else _as_found(found)
        numbers: Counter[str] = Counter()
        for finding, outcome in ended:
            numbers[outcome or "found"] += 1
            self.stdout.write(_line(finding, outcome, as_json=options["json"]))
        if options["fix"]:
            hints.dispatch()
        self._conclude(numbers, audit.unseen)

    def _conclude(self, numbers: Counter[str], unseen: list[str]) -> None:
        told = ", ".join(f"{number} {name}" for name, number in numbers.items()) or "Nothing is wrong"
        if unseen:
            raise CommandError(f"{told}. Not looked at: {' '.join(unseen)}", returncode=UNREACHABLE)
        if numbers["found"] or numbers[Outcome.LEFT]:
            raise CommandError(f"{told}.", returncode=FOUND)
        self.stderr.write(f"{told}.")


def _as_found(findings: Iterable[Finding]) -> Iterator[tuple[Finding, Outcome | None]]:
    return ((each, None) for each in findings)


def _with_progress(findings: Iterable[Finding], *, hidden: bool) -> Iterator[Finding]:
    yield from tqdm(findings, desc="found", unit="", disable=hidden or None)


def _line(finding: Finding, outcome: Outcome | None, *, as_json: bool) -> str:
    if as_json:
        ended = {} if outcome is None else {"outcome": outcome.value}
        return json.dumps({**finding.as_json(), **ended})
    return f"{finding}{'' if outcome is None else f': {outcome}'}"
