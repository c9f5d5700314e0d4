"""Measures the pipeline between an upload and its results, with a fake compute that is instant.

  overhead       CPU milliseconds an image costs the workers, for three image jobs and one face, less what the
                 fake compute itself takes (decoding, cutting a crop; measured in the same run)
                   scaled    PostgreSQL, Redis, a vector server; 1, 2 and 4 worker processes
                   embedded  `manage.py serve` over SQLite
                 each process has worked on some images before: what it loads at its start is not counted
                 bare: a Celery worker that runs four tasks an image, each of which changes one row
  throughput     images a second, of the same runs
  reconcile      100,000 versions of new images turned into pending rows (SQLite)
                 bare: the same history read and as many rows inserted, nothing else
  to completed   from the start of an upload until the image is completed, on an idle embedded store
                 bare: the upload alone

The last line of the output is one JSON object: {"figures": [{name, unit, store, bare, ratio, target, met,
note}, ...], ...}. Needs PostgreSQL and Redis on 127.0.0.1 for the scaled part; without them it is left out.
Compare ratios, not milliseconds, between machines and between days.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Run as a script, Python looks for modules beside the script only.
import httpx

from benchmarks import rows
from benchmarks.figures import Figure, Target, table
from benchmarks.handing_in import OVERHEAD_TARGET, UNFINISHED, WARM_UP_PHOTOS, say, upload, wait
from benchmarks.processes import cpu_seconds
from benchmarks.scaled import measure_scaled
from intelligence.compute.base import ComputeSettings
from intelligence.compute.fake import FakeModels
from intelligence.compute.picture import Picture
from intelligence.vocabulary import TaskType
from tests.deployment import free_port, kill
from tests.pictures import jpeg

ROOT = Path(__file__).resolve().parent.parent
RECONCILE_TARGET = Target(10, of_ratio=False)
LATENCY_TARGET = Target(300, of_ratio=False)


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="store-benchmark-", dir=options.folder))
    try:
        if options.reconcile_only:
            figures = list(measure_reconcile(folder, options.versions))
        else:
            figures = list(measure(folder, options.images, options.versions))
    finally:
        shutil.rmtree(folder)
    print(table(figures))
    summary = {
        "images": options.images,
        "cpus": os.cpu_count(),
        "figures": [each.as_json() for each in figures],
    }
    print(json.dumps(summary))
    return 0


def measure(folder: Path, images: int, versions: int) -> Iterator[Figure]:
    say(f"making {images} photos with one face each")
    photos = write_photos(folder / "photos", images)
    compute = measure_compute(photos)
    yield Figure("fake compute alone, CPU per image", "ms", compute)
    yield from measure_scaled(folder, photos, compute)
    yield from measure_embedded(folder, photos, compute)
    yield from measure_reconcile(folder, versions)
    yield from measure_latency(folder, photos)


def write_photos(folder: Path, number: int) -> list[Path]:
    """Fake compute sees one face on each."""
    folder.mkdir()
    models = FakeModels(ComputeSettings(spool=folder))
    paths: list[Path] = []
    seed = 0
    while len(paths) < number:
        seed += 1
        path = folder / f"{seed}.jpg"
        path.write_bytes(jpeg(seed))
        if len(models.detect_faces(Picture(path, max_pixels=10**6))) == 1:
            paths.append(path)
        else:
            path.unlink()
    return paths


def measure_compute(photos: Sequence[Path]) -> float:
    """CPU milliseconds for an image and its face: decoding, a few random numbers, a crop. The store's own
    handling of jobs and files is not in it.
    """
    models = FakeModels(ComputeSettings(spool=photos[0].parent))
    began = time.process_time()
    for photo in photos:
        picture = Picture(photo, max_pixels=10**6)
        (face,) = models.detect_faces(picture)
        for task in (TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING):
            models.embed(task, picture)
        models.embed(TaskType.FACE_EMBEDDING, Picture(BytesIO(face.crop), max_pixels=10**6))
    return 1000 * (time.process_time() - began) / len(photos)


# --- Embedded ---


def measure_embedded(folder: Path, photos: Sequence[Path], compute: float) -> Iterator[Figure]:
    say("embedded")
    warm_up, measured = photos[:WARM_UP_PHOTOS], photos[WARM_UP_PHOTOS:]
    with _serving(folder / "embedded") as (http, process, env):
        database = folder / "embedded" / "store.db"
        for photo in warm_up:  # the first also makes the collections of vectors
            upload(http, photo)
        wait(lambda: _count(database, UNFINISHED) == 0)
        before, began = cpu_seconds(process.pid), time.monotonic()
        subprocess.run(
            [sys.executable, "manage.py", "ingest", str(photos[0].parent)],
            cwd=ROOT,
            env=env,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait(lambda: _count(database, UNFINISHED) == 0)
        seconds = time.monotonic() - began
        spent = 1000 * (cpu_seconds(process.pid) - before) / len(measured)
        assert http.get("/").status_code == 200
    yield Figure("overhead, embedded", "ms", spent - compute, target=OVERHEAD_TARGET)
    yield Figure("throughput, embedded, ingest beside it", "/s", len(measured) / seconds)


def measure_latency(folder: Path, photos: Sequence[Path], number: int = 40) -> Iterator[Figure]:
    say("from upload to completed")
    uploads, completions = [], []
    with _serving(folder / "idle") as (http, _process, _env):
        for photo in photos[:number]:
            began = time.monotonic()
            entity_id = upload(http, photo)
            uploads.append(1000 * (time.monotonic() - began))
            wait(lambda pk=entity_id: _is_completed(http, pk), pause=0.005)  # type: ignore[misc]
            completions.append(1000 * (time.monotonic() - began))
            time.sleep(0.2)
    for name, at, target in (("p50", 9, LATENCY_TARGET), ("p95", 18, None)):
        store, bare = (
            statistics.quantiles(each, n=20, method="inclusive")[at] for each in (completions, uploads)
        )
        yield Figure(f"upload to completed, {name}", "ms", store, bare, target)


# --- Reconcile ---


def measure_reconcile(folder: Path, versions: int) -> Iterator[Figure]:
    say(f"reconcile of {versions} versions")
    server_dir = folder / "reconcile"
    server_dir.mkdir()
    env = _environment(server_dir)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=env, check=True)
    last = rows.entities_with(versions)
    rows.fill_store(server_dir / "store.db", first=1, last=last, looked_at=False)
    command = [sys.executable, "-m", "benchmarks.reconciling"]
    answer = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    found = json.loads(answer.stdout.splitlines()[-1])
    note = f"{found['versions']} versions"
    yield Figure("reconcile", "s", found["seconds"], found["bare_seconds"], RECONCILE_TARGET, note=note)
    yield Figure("reconcile, memory growth", "MiB", found["growth_mib"], has_ratio=False)


# --- Common ---


@contextmanager
def _serving(server_dir: Path) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes], dict[str, str]]]:
    server_dir.mkdir(parents=True)
    env, port = _environment(server_dir), free_port()
    with (server_dir / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", str(port), "--grace", "2"],
            cwd=ROOT,
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
            wait(lambda: _answers(http), pause=0.1)
            time.sleep(2)  # what happens at a start is not measured
            yield http, process, env
    finally:
        kill(process)


def _environment(server_dir: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
    own = {"CL_SERVER_DIR": str(server_dir), "COMPUTE_BACKEND": "fake", "LOG_LEVEL": "WARNING"}
    return {**kept, **own, "AUTH_DISABLED": "true", "ENV_FILE": ""}


def _is_completed(http: httpx.Client, entity_id: int) -> bool:
    row = http.get(f"/intelligence/entities/{entity_id}").json()
    return row is not None and row["overall_status"] == "completed"


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/").is_success
    except httpx.TransportError:
        return False


def _count(database: Path, sql: str) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        return int(connection.execute(sql).fetchone()[0])


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=300, help="of each run (default %(default)s)")
    parser.add_argument("--versions", type=int, default=100_000, help="to reconcile (default %(default)s)")
    parser.add_argument("--reconcile-only", action="store_true")
    parser.add_argument(
        "--folder", type=Path, help="on whose disk to work (default: that of temporary files)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
