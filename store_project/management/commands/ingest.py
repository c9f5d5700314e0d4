"""Puts what lies in folders into the store. Here rather than in entities, because --wait needs every app."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from entities import hierarchy, tallies
from entities.errors import InvalidHierarchyError
from entities.ingest import Ingested, Ingester, Outcome, find_files
from entities.storage import EntityStorageService
from intelligence.progress import Progress, progress_of_images
from store_project.worker_lock import WorkerLock

POLL_SECONDS = 0.25
DEFAULT_WORKERS = 2
SOME_FAILED, BAD_USAGE = 1, 2


class Command(BaseCommand):
    help = (
        "Stores every file below the given paths. What is stored already is recognised by its content and "
        "skipped, so the same command can be run again after an interruption. A file that cannot be read or "
        "decoded is listed at the end and does not stop the rest. Exit code: 0 all stored or already there, "
        "1 some failed, 2 bad usage."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "paths", nargs="+", type=Path, help="files or folders; folders are walked through"
        )
        parser.add_argument("--parent", type=int, metavar="ID", help="the collection to store them in")
        parser.add_argument(
            "--workers", type=int, default=DEFAULT_WORKERS, help="files at once (%(default)s)"
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be stored; write nothing")
        parser.add_argument(
            "--wait",
            action="store_true",
            help="until faces and look-alikes are done; works on them if nobody does",
        )

    def handle(self, *, paths: list[Path], parent: int | None, workers: int, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        files = _checked_files(paths, parent, workers)
        ingester = Ingester(EntityStorageService.from_settings(), parent_id=parent, workers=workers)
        if options["dry_run"]:
            self._summarise(_tally(map(ingester.rehearse, files), len(files)), "would be stored")
            return
        if options["wait"]:
            with worker_unless_running():
                tally = _tally(ingester.run(files), len(files))
                self._wait()
        else:
            tally = _tally(ingester.run(files), len(files))
        self._summarise(tally, "stored")

    def _wait(self) -> None:
        progress = progress_of_images()
        with tqdm(total=progress.total, desc="Looking", unit="image", disable=None) as bar:
            while not (progress := progress_of_images()).is_quiet:
                _show(bar, progress)
                time.sleep(POLL_SECONDS)
            _show(bar, progress)
        if progress.failed:
            self.stderr.write(
                f"{progress.failed} images could not be looked at; see the admin for the reasons."
            )

    def _summarise(self, tally: Tally, stored_word: str) -> None:
        tallies.flush()
        for item in tally.failures:
            self.stderr.write(f"{item.path}: {item.reason}")
        stored, there = tally.counts[Outcome.STORED], tally.counts[Outcome.ALREADY_THERE]
        self.stdout.write(f"{stored} {stored_word}, {there} already there, {len(tally.failures)} failed")
        if tally.failures:
            sys.exit(SOME_FAILED)


@dataclass(frozen=True)
class Tally:
    """What is kept of each file: a number, and only of a failure the path and its reason."""

    counts: Counter[Outcome]
    failures: list[Ingested]


def _tally(done: Iterable[Ingested], total: int) -> Tally:
    tally = Tally(Counter(), [])
    for item in tqdm(done, total=total, desc="Storing", unit="file", disable=None):
        tally.counts[item.outcome] += 1
        if item.outcome is Outcome.FAILED:
            tally.failures.append(item)
    return tally


def _checked_files(paths: list[Path], parent: int | None, workers: int) -> list[Path]:
    if missing := [str(path) for path in paths if not path.exists()]:
        raise CommandError(f"No such file or folder: {', '.join(missing)}", returncode=BAD_USAGE)
    if workers < 1:
        raise CommandError("--workers must be at least 1.", returncode=BAD_USAGE)
    try:
        hierarchy.check_parent(parent)
    except InvalidHierarchyError as error:
        raise CommandError(f"--parent: {error}", returncode=BAD_USAGE) from error
    return list(find_files(paths))


def _show(bar: Any, progress: Progress) -> None:
    bar.total, bar.n = progress.total, progress.ended
    bar.refresh()


@contextmanager
def worker_unless_running() -> Iterator[None]:
    """Works in this process where nobody else does: `serve`, or workers of a broker, may be at it already."""
    from store_project.runtime import EmbeddedRuntime  # noqa: PLC0415  (only who waits needs it)

    lock = WorkerLock(settings.CONFIG.cl_server_dir)
    if not settings.EMBEDDED_BROKER or not lock.acquire():
        yield
        return
    try:
        with EmbeddedRuntime():
            yield
    finally:
        lock.release()
