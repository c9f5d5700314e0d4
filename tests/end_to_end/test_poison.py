"""An image that kills the process that looks at it, or holds it for ever, fails; the worker goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from celery import Celery
from PIL import Image

from store_project.config import BASE_DIR
from tests.deployment import own_redis_database
from tests.poison import DEADLY, ENDLESS
from tests.processes import Manage, wait_until

pytestmark = [pytest.mark.services("redis"), pytest.mark.timeout(450)]

ATTEMPTS = 3
ENV = {
    "DJANGO_SETTINGS_MODULE": "tests.poison",
    "COMPUTE_JOB_DEADLINE_SECONDS": "12",
    "JOB_SILENCE_SECONDS": "1",
}

AWAY = {"QDRANT_URL": "http://127.0.0.1:1"}
"""The worker alone has the folder of vectors open."""

Env = dict[str, str]


@pytest.fixture
def env() -> Iterator[Env]:
    with own_redis_database() as url:
        yield {**ENV, "CELERY_BROKER_URL": url}


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    paths = {(64, 48): "good.png", DEADLY: "deadly.png", ENDLESS: "endless.png", (48, 64): "late.png"}
    for size, name in paths.items():
        Image.effect_noise(size, 64).convert("RGB").save(tmp_path / name)
    return [str(tmp_path / name) for name in paths.values()]


@contextmanager
def worker(manage: Manage, env: Env) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "store_project", "worker", "-P", "prefork", "-c", "1"],
        cwd=BASE_DIR,
        env={**os.environ, "CL_SERVER_DIR": str(manage.server_dir), "DATABASE_URL": "", **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_the_image_fails_and_the_worker_goes_on(manage: Manage, photos: list[str], env: Env) -> None:
    *first, late = photos
    beside = {**env, **AWAY}
    assert manage("migrate", **beside).returncode == 0
    sender = Celery(broker=env["CELERY_BROKER_URL"])
    with worker(manage, env) as process:
        assert manage("ingest", *first, **beside).returncode == 0
        with suppress(AssertionError):  # then what there is says more
            wait_until(lambda: _swept(sender, manage, beside) == {"completed": 1, "failed": 2}, seconds=240)
        assert _swept(sender, manage, beside) == {"completed": 1, "failed": 2}
        assert process.poll() is None
        assert manage("ingest", late, **beside).returncode == 0
        wait_until(lambda: _swept(sender, manage, beside) == {"completed": 2, "failed": 2})
    assert _given_up(manage, beside) == {"deadly.png", "endless.png"}


def _swept(sender: Celery, manage: Manage, env: Env) -> dict[str, int]:
    """How many images ended how; beat's own interval is a matter of half a minute."""
    for task, queue in (("sweep_jobs", "reconcile"), ("reconcile", "reconcile"), ("dispatch", "submit")):
        sender.send_task(f"intelligence.tasks.{task}", queue=queue)
    told = json.loads(manage("intelligence", "status", "--json", **env).stdout)
    return {status: number for status, number in told["images"].items() if number}


def _given_up(manage: Manage, env: Env) -> set[str]:
    """The images of which it is told, in whatever order they were taken in."""
    stories = [manage("intelligence", "explain", str(pk), "--json", **env).stdout for pk in range(1, 5)]
    reason = f"Given up: {ATTEMPTS} runs ended without an answer"
    return {json.loads(story)["entity"]["label"] for story in stories if reason in story}
