"""The store's main job on real photos, from nothing to a table."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from entities.models import Entity
from intelligence.retrieval import IntelligenceRetrieveService, NotFoundError, SimilarEntity
from intelligence.vocabulary import ProcessingStatus
from store_project.demo_photos import family_of, make_families
from vectors import get_dino_store


@dataclass(frozen=True)
class Row:
    label: str
    status: str
    faces: int | None
    nearest: SimilarEntity | None

    @property
    def nearest_is_family(self) -> bool:
        return self.nearest is not None and family_of(self.nearest.entity.label or "") == family_of(
            self.label
        )

    def __str__(self) -> str:
        nearest = f"{self.nearest.entity.label} {self.nearest.score:.2f}" if self.nearest else "-"
        faces = "-" if self.faces is None else self.faces
        return f"{self.label:<32.32} {self.status:<10} {faces:>5}  {nearest}"


class Command(BaseCommand):
    help = (
        "Stores real photos in an empty data folder, looks at them and prints what was found. Without PATH: "
        "photos that come with scikit-image and scikit-learn, each with four variants. Exit code 1 if a "
        "variant's nearest neighbour is not of its own family, or if any image was not completed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="your own photos instead")

    def handle(self, *, paths: list[Path], **_options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        if Entity.objects.exists():
            raise CommandError(
                f"{settings.CONFIG.cl_server_dir} holds data already; the demo wants an empty folder."
            )
        self._seconds: dict[str, float] = {}
        sources = [path.expanduser() for path in paths] or [self._make_photos()]
        with self._timed("store and look"):
            call_command("ingest", *map(str, sources), wait=True, stdout=self.stdout)
        with self._timed("find look-alikes"), _stores():
            rows = _found()
        self._print(rows)
        self._judge(rows, families=not paths)

    def _make_photos(self) -> Path:
        folder = settings.CONFIG.cl_server_dir / "demo-photos"
        with self._timed("make variants"):
            make_families(folder)
        return folder

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[stage] = time.perf_counter() - start

    def _print(self, rows: list[Row]) -> None:
        self.stdout.write(f"\n{'photo':<32} {'status':<10} {'faces':>5}  nearest look-alike (DINO) and score")
        for row in rows:
            self.stdout.write(str(row))
        for stage, seconds in self._seconds.items():
            self.stdout.write(f"{stage:>20}: {seconds:6.1f} s")

    def _judge(self, rows: list[Row], *, families: bool) -> None:
        strangers = [row for row in rows if families and not row.nearest_is_family]
        unfinished = [row for row in rows if row.status != ProcessingStatus.COMPLETED]
        for row in strangers:
            self.stderr.write(f"{row.label}: its nearest neighbour is of another family")
        for row in unfinished:
            self.stderr.write(f"{row.label}: {row.status}")
        if strangers or unfinished:
            sys.exit(1)
        self.stdout.write(
            "\nAll completed. Next: look at it in a browser with\n"
            f"  CL_SERVER_DIR={settings.CONFIG.cl_server_dir} .venv/bin/python manage.py serve\n"
            "or store your own photos with `.venv/bin/python manage.py ingest --wait ~/Pictures`."
        )


@contextmanager
def _stores() -> Iterator[None]:
    from vectors import close_stores  # noqa: PLC0415

    yield
    close_stores()


def _found() -> list[Row]:
    pictures = Entity.objects.live().images().select_related("intelligence").order_by("label")
    return [
        Row(
            label=entity.label or str(entity.pk),
            status=entity.intelligence.processing_status,
            faces=entity.intelligence.face_count,
            nearest=_nearest(entity),
        )
        for entity in pictures
    ]


def _nearest(entity: Entity) -> SimilarEntity | None:
    service = IntelligenceRetrieveService()
    try:
        return service.similar_entities(entity.pk, store=get_dino_store(), limit=1, threshold=0.0)[0]
    except NotFoundError:
        return None
