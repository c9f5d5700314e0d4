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
import multiprocessing
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Run as a script, Python looks for modules beside the script only.
import httpx
import redis
from celery import Celery

from benchmarks import bare_tasks, rows
from benchmarks.figures import Figure, Target, table
from benchmarks.processes import cpu_seconds
from intelligence.compute.base import ComputeSettings
from intelligence.compute.fake import FakeModels
from intelligence.compute.picture import Picture
from intelligence.vocabulary import TaskType
from store_project.celery import QUEUES
from tests.deployment import Deployment, deployed, free_port, kill
from tests.pictures import jpeg

ROOT = Path(__file__).resolve().parent.parent
OVERHEAD_TARGET = Target(15, of_ratio=False)
RECONCILE_TARGET = Target(10, of_ratio=False)
LATENCY_TARGET = Target(300, of_ratio=False)

WARM_UP_PHOTOS = 12
WORKERS = (1, 2, 4)
PATIENCE_SECONDS = 300
ASKING_SECONDS = 2.0
"""Longer than a worker's question for messages stays open: Redis would answer one that stands still."""
UNFINISHED = """
    SELECT COUNT(*) FROM entities_entity e LEFT JOIN intelligence_imageintelligence i ON i.entity_id = e.id
    WHERE e.type = 'image' AND (i.processing_status IS NULL OR i.processing_status <> 'completed')
"""


@dataclass(frozen=True)
class Cost:
    """Of one image."""

    cpu_ms: float
    per_second: float


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
    _say(f"making {images} photos with one face each")
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


# --- Scaled ---


def measure_scaled(folder: Path, photos: Sequence[Path], compute: float) -> Iterator[Figure]:
    for workers in WORKERS:
        _say(f"{workers} worker processes, bare and ours in turn")
        # In a process of its own: a Celery app keeps to the broker that it has known first.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:
            place = folder / f"scaled-{workers}"
            bare, store = alone.submit(_scaled, place, photos, workers).result()
        name = f"{workers} worker{'s' if workers > 1 else ''}"
        yield Figure(f"overhead, {name}", "ms", store.cpu_ms - compute, bare.cpu_ms, OVERHEAD_TARGET)
        yield Figure(f"throughput, {name}", "/s", store.per_second, bare.per_second)


def _scaled(folder: Path, photos: Sequence[Path], workers: int) -> tuple[Cost, Cost]:
    """Of the bare tasks and of ours."""
    warming = WARM_UP_PHOTOS * workers
    with deployed(folder) as deployment:
        os.environ.update(deployment.env)
        bare = _bare_cost(deployment, len(photos), workers)
        return bare, _scaled_cost(deployment, photos[warming:], photos[:warming], workers)


def _bare_cost(deployment: Deployment, images: int, workers: int) -> Cost:
    bare_tasks.app.conf.update(broker_url=deployment.env["CELERY_BROKER_URL"])
    bare_tasks.prepare(images)

    def start(number: int) -> subprocess.Popen[bytes]:
        return deployment.start_celery("benchmarks.bare_tasks", f"bare{number}", [bare_tasks.QUEUE])

    def send() -> None:
        for image in range(1, images + 1):
            for _ in range(bare_tasks.TASKS_PER_IMAGE):
                bare_tasks.end.delay(image)

    with _started(start, workers) as processes:
        _await_workers(bare_tasks.app, workers)
        return _cost(processes, images, send, lambda: bare_tasks.unfinished() == 0)


def _scaled_cost(
    deployment: Deployment, photos: Sequence[Path], warm_up: Sequence[Path], workers: int
) -> Cost:
    from store_project.celery import app  # noqa: PLC0415  (configured by what has just been put in place)

    def ended() -> bool:
        return int(deployment.query(UNFINISHED)[0][0]) == 0

    def begin() -> None:
        app.send_task("intelligence.tasks.reconcile")

    with (
        _started(lambda number: deployment.start_worker(f"ours{number}"), workers) as processes,
        httpx.Client(base_url=deployment.url, timeout=30) as http,
    ):
        _await_workers(app, workers)
        _warm_up(http, processes, warm_up, begin, lambda: ended() and _rests(deployment.broker()))
        for each in processes:
            os.killpg(each.pid, signal.SIGSTOP)
        for photo in photos:
            _upload(http, photo)
        deployment.broker().flushdb()
        for each in processes:
            os.killpg(each.pid, signal.SIGCONT)
        return _cost(processes, len(photos), begin, ended)


def _rests(broker: redis.Redis) -> bool:
    """Who is made to stand still while at something would keep the others waiting for locks."""
    return not broker.hlen("unacked") and not any(broker.llen(queue) for queue in QUEUES)


@contextmanager
def _started(
    start: Callable[[int], subprocess.Popen[bytes]], number: int
) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.extend(start(each) for each in range(number))
        yield processes
    finally:
        for process in processes:
            kill(process)


def _warm_up(
    http: httpx.Client,
    processes: Sequence[subprocess.Popen[bytes]],
    photos: Sequence[Path],
    begin: Callable[[], object],
    ended: Callable[[], bool],
) -> None:
    """The first tasks of a process load its parts, once. So each does some while the others stand still."""
    share = len(photos) // len(processes)
    for number, process in enumerate(processes):
        for each in processes:
            os.killpg(each.pid, signal.SIGCONT if each is process else signal.SIGSTOP)
        time.sleep(ASKING_SECONDS)
        for photo in photos[number * share : (number + 1) * share]:
            _upload(http, photo)
        begin()
        _wait(ended)
    for each in processes:
        os.killpg(each.pid, signal.SIGCONT)


def _cost(
    processes: Sequence[subprocess.Popen[bytes]],
    images: int,
    begin: Callable[[], object],
    ended: Callable[[], bool],
) -> Cost:
    before, began = sum(cpu_seconds(each.pid) for each in processes), time.monotonic()
    begin()
    _wait(ended)
    seconds = time.monotonic() - began
    spent = sum(cpu_seconds(each.pid) for each in processes) - before
    return Cost(1000 * spent / images, images / seconds)


# --- Embedded ---


def measure_embedded(folder: Path, photos: Sequence[Path], compute: float) -> Iterator[Figure]:
    _say("embedded")
    warm_up, measured = photos[:WARM_UP_PHOTOS], photos[WARM_UP_PHOTOS:]
    with _serving(folder / "embedded") as (http, process, env):
        database = folder / "embedded" / "store.db"
        for photo in warm_up:  # the first also makes the collections of vectors
            _upload(http, photo)
        _wait(lambda: _count(database, UNFINISHED) == 0)
        before, began = cpu_seconds(process.pid), time.monotonic()
        subprocess.run(
            [sys.executable, "manage.py", "ingest", str(photos[0].parent)],
            cwd=ROOT,
            env=env,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _wait(lambda: _count(database, UNFINISHED) == 0)
        seconds = time.monotonic() - began
        spent = 1000 * (cpu_seconds(process.pid) - before) / len(measured)
        assert http.get("/").status_code == 200
    yield Figure("overhead, embedded", "ms", spent - compute, target=OVERHEAD_TARGET)
    yield Figure("throughput, embedded, ingest beside it", "/s", len(measured) / seconds)


def measure_latency(folder: Path, photos: Sequence[Path], number: int = 40) -> Iterator[Figure]:
    _say("from upload to completed")
    uploads, completions = [], []
    with _serving(folder / "idle") as (http, _process, _env):
        for photo in photos[:number]:
            began = time.monotonic()
            entity_id = _upload(http, photo)
            uploads.append(1000 * (time.monotonic() - began))
            _wait(lambda pk=entity_id: _is_completed(http, pk), pause=0.005)  # type: ignore[misc]
            completions.append(1000 * (time.monotonic() - began))
            time.sleep(0.2)
    for name, at, target in (("p50", 9, LATENCY_TARGET), ("p95", 18, None)):
        store, bare = (
            statistics.quantiles(each, n=20, method="inclusive")[at] for each in (completions, uploads)
        )
        yield Figure(f"upload to completed, {name}", "ms", store, bare, target)


# --- Reconcile ---


def measure_reconcile(folder: Path, versions: int) -> Iterator[Figure]:
    _say(f"reconcile of {versions} versions")
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
            _wait(lambda: _answers(http), pause=0.1)
            time.sleep(2)  # what happens at a start is not measured
            yield http, process, env
    finally:
        kill(process)


def _environment(server_dir: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ}
    own = {"CL_SERVER_DIR": str(server_dir), "COMPUTE_BACKEND": "fake", "LOG_LEVEL": "WARNING"}
    return {**kept, **own, "AUTH_DISABLED": "true", "ENV_FILE": ""}


def _upload(http: httpx.Client, photo: Path) -> int:
    with photo.open("rb") as content:
        answer = http.post("/entities", data={"is_collection": "false"}, files={"media_file": content})
    answer.raise_for_status()
    entity_id: int = answer.json()["id"]
    return entity_id


def _is_completed(http: httpx.Client, entity_id: int) -> bool:
    row = http.get(f"/intelligence/entities/{entity_id}").json()
    return row is not None and row["overall_status"] == "completed"


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/").is_success
    except httpx.TransportError:
        return False


def _await_workers(app: Celery, number: int) -> None:
    _wait(lambda: len(app.control.ping(timeout=0.5) or ()) >= number, pause=0.1)


def _count(database: Path, sql: str) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        return int(connection.execute(sql).fetchone()[0])


def _wait(condition: Callable[[], bool], *, pause: float = 0.25) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"Not ended within {PATIENCE_SECONDS} s.")
        time.sleep(pause)


def _say(what: str) -> None:
    print(f"... {what}", flush=True)


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
