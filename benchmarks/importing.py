"""Imports a large folder into a store that runs as most do, and watches whether it drains to the last image.

`manage.py serve` over SQLite and the embedded vectors, with the instant fake compute; `manage.py ingest`
beside it. Told are:

  rate             images completed a second, from the start of the import to the last image, and in the
                   slowest tenth beside the first (bare): a pipeline that slows down by what it has done
                   shows here
  outstanding      the most jobs of one task that were with the compute at once; the settings allow so many
  fresh upload     from its start until it is completed, in the middle of the backlog, beside (bare) the same
                   before the import began
  memory           of the store's process when a fifth is done and at the end

Exit code 1: an image was not completed, or nothing more was completed for five minutes. The last line of the
output is one JSON object. 50,000 images took 42 minutes on two busy cores.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Run as a script, Python looks for modules beside the script only.
import httpx

from benchmarks import servers
from benchmarks.figures import MEBIBYTE, Figure, table
from benchmarks.handing_in import UNFINISHED, say, upload, wait
from tests.pictures import jpeg

PATIENCE_SECONDS = 300
PAUSE_SECONDS = 1.0
FRESH = 9
"""Uploads whose way is timed, of each the median is told."""
COMPLETED = "SELECT COUNT(*) FROM intelligence_imageintelligence WHERE processing_status = 'completed'"
OUTSTANDING = """
    SELECT COALESCE(MAX(number), 0) FROM (
        SELECT COUNT(*) AS number FROM intelligence_entityjob
        WHERE status IN ('pending', 'queued', 'in_progress') GROUP BY task_type
    )
"""


@dataclass
class Course:
    """What was seen while the import ran."""

    seconds: list[float] = field(default_factory=list)
    completed: list[int] = field(default_factory=list)
    outstanding: int = 0
    memory: list[int] = field(default_factory=list)

    def rate(self, first: int, last: int) -> float:
        """Images a second between these numbers of completed ones."""
        return (last - first) / max(PAUSE_SECONDS, self._when(last) - self._when(first))

    def memory_at(self, number: int) -> float:
        index = next(index for index, done in enumerate(self.completed) if done >= number)
        return self.memory[index] / MEBIBYTE

    def _when(self, number: int) -> float:
        return next(at for at, done in zip(self.seconds, self.completed, strict=True) if done >= number)


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="store-benchmark-", dir=options.folder) as name:
        folder = Path(name)
        say(f"making {options.images} photos")
        photos = _write_photos(folder / "photos", options.images)
        servers.prepare(folder)
        with servers.store_alone(folder, worker=True, COMPUTE_BACKEND="fake") as server:
            figures, wrong = _measure(folder, server, photos, options.images)
    print(table(figures))
    if wrong:
        print(wrong)
    summary = {
        "images": options.images,
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "wrong": wrong or None,
        "figures": [each.as_json() for each in figures],
    }
    print(json.dumps(summary))
    return 1 if wrong else 0


def _measure(folder: Path, server: servers.Server, photos: Path, images: int) -> tuple[list[Figure], str]:
    database = folder / "store" / "store.db"
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=60) as http:
        say("uploads to an idle store")
        idle = _fresh(http, database, folder, first=images + 1)
        say("importing")
        before = _count(database, COMPLETED)
        with servers.ingesting(folder, photos, COMPUTE_BACKEND="fake") as ingest:
            course = Course()
            busy: Sequence[float] = ()
            for done in _watched(course, database, server, before, images):
                if not busy and done >= images // 2:
                    busy = _fresh(http, database, folder, first=images + 1 + FRESH)
            code = ingest.wait()
    left = _count(database, UNFINISHED)
    wrong = f"{left} images were not completed." if left else ""
    if code:
        wrong = f"ingest ended with {code}. {wrong}"
    return (list(_figures(course, idle, busy, images)) if not wrong else []), wrong


def _figures(course: Course, idle: Sequence[float], busy: Sequence[float], images: int) -> Iterator[Figure]:
    tenths = [images * number // 10 for number in range(1, 11)]
    rates = [course.rate(first, last) for first, last in pairwise(tenths)]
    yield Figure("images, from first to last", "/s", images / course.seconds[-1])
    yield Figure("images, the slowest tenth", "/s", min(rates), rates[0])
    yield Figure("most jobs of a task outstanding", "", course.outstanding)
    yield Figure("fresh upload to completed", "ms", _median(busy), _median(idle))
    yield Figure("memory", "MiB", course.memory[-1] / MEBIBYTE, course.memory_at(images // 5))


def _watched(
    course: Course, database: Path, server: servers.Server, before: int, images: int
) -> Iterator[int]:
    """How many are completed, once a second, until all are or none is for a long time."""
    began = moved = time.monotonic()
    done = 0
    while done < images and time.monotonic() - moved < PATIENCE_SECONDS:
        time.sleep(PAUSE_SECONDS)
        now = _count(database, COMPLETED) - before
        if now > done:
            moved = time.monotonic()
        done = now
        course.seconds.append(time.monotonic() - began)
        course.completed.append(done)
        course.outstanding = max(course.outstanding, _count(database, OUTSTANDING))
        course.memory.append(server.memory())
        if sys.stderr.isatty():
            print(f"\r{done:,} of {images:,} completed", end="", file=sys.stderr, flush=True)
        yield done


def _fresh(http: httpx.Client, database: Path, folder: Path, *, first: int) -> list[float]:
    """Milliseconds from the start of each upload until it is completed."""
    milliseconds = []
    for seed in range(first, first + FRESH):
        photo = folder / f"{seed}.jpg"
        photo.write_bytes(jpeg(seed))
        began = time.monotonic()
        entity_id = upload(http, photo)
        wait(partial(_is_completed, database, entity_id), pause=0.01)
        milliseconds.append(1000 * (time.monotonic() - began))
    return milliseconds


def _is_completed(database: Path, entity_id: int) -> bool:
    return _count(database, f"{COMPLETED} AND entity_id = {entity_id}") == 1


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def _write_photos(folder: Path, number: int) -> Path:
    for seed in range(number):
        place = folder / f"{seed // 1000:03}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{seed}.jpg").write_bytes(jpeg(seed))
    return folder


def _count(database: Path, sql: str) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        return int(connection.execute(sql).fetchone()[0])


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000, help="to import (default %(default)s)")
    parser.add_argument(
        "--folder", type=Path, help="on whose disk to work (default: that of temporary files)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
