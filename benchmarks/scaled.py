"""A part of benchmarks/pipeline.py: what an image costs workers on PostgreSQL, Redis and a vector server."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import redis
from celery import Celery

from benchmarks import bare_tasks
from benchmarks.figures import Figure
from benchmarks.handing_in import OVERHEAD_TARGET, UNFINISHED, WARM_UP_PHOTOS, say, upload, wait
from benchmarks.processes import cpu_seconds
from store_project.celery import QUEUES
from tests.deployment import Deployment, deployed, kill

WORKERS = (1, 2, 4)
ASKING_SECONDS = 2.0
"""Longer than a worker's question for messages stays open: Redis would answer one that stands still."""


@dataclass(frozen=True)
class Cost:
    """Of one image."""

    cpu_ms: float
    per_second: float


def measure_scaled(folder: Path, photos: Sequence[Path], compute: float) -> Iterator[Figure]:
    for workers in WORKERS:
        say(f"{workers} worker processes, bare and ours in turn")
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
            upload(http, photo)
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
            upload(http, photo)
        begin()
        wait(ended)
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
    wait(ended)
    seconds = time.monotonic() - began
    spent = sum(cpu_seconds(each.pid) for each in processes) - before
    return Cost(1000 * spent / images, images / seconds)


def _await_workers(app: Celery, number: int) -> None:
    wait(lambda: len(app.control.ping(timeout=0.5) or ()) >= number, pause=0.1)
