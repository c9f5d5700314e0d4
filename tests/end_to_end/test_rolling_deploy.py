"""Workers of two releases at once: neither loses what the other asks for."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from intelligence import tasks as intelligence_tasks
from store_project.config import BASE_DIR
from tests import own_services
from tests.newer_release import TASK
from tests.own_services import OwnService
from tests.processes import Manage, wait_until

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.timeout(240)]


@pytest.fixture
def broker() -> Iterator[OwnService]:
    with own_services.redis() as service:
        yield service


@pytest.fixture
def env(broker: OwnService, manage: Manage, tmp_path: Path) -> dict[str, str]:
    env = {
        "CELERY_BROKER_URL": f"redis://127.0.0.1:{broker.port}/0",
        "QDRANT_URL": "http://127.0.0.1:1",
        "SAID_FILE": str(tmp_path / "said"),
    }
    assert manage("migrate", **env).returncode == 0
    return env


@contextmanager
def worker(manage: Manage, app: str, log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    options = ["-P", "solo", "-Q", "reconcile", "--without-mingle", "--without-gossip", "-n", f"{app}@%h"]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", app, "worker", *options],
            cwd=BASE_DIR,
            env={**os.environ, "CL_SERVER_DIR": str(manage.server_dir), "DATABASE_URL": "", **env},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def send(env: dict[str, str], name: str, *args: Any, **kwargs: Any) -> None:
    client = Celery(broker=env["CELERY_BROKER_URL"])
    client.send_task(name, args, kwargs, queue="reconcile")
    client.close()


def said(env: dict[str, str]) -> str:
    path = Path(env["SAID_FILE"])
    return path.read_text() if path.exists() else ""


def test_a_task_that_an_older_worker_does_not_know(
    manage: Manage, env: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "old"
    send(env, TASK, "hello", "and more")
    with worker(manage, "store_project", log, env) as old:
        wait_until(lambda: "not known to this release" in log.read_text())
        with worker(manage, "tests.newer_release", tmp_path / "new", env):
            wait_until(lambda: said(env) == "hello", seconds=90)
        assert old.poll() is None


def test_it_outlives_the_older_worker(manage: Manage, env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "old"
    send(env, TASK, "hello")
    with worker(manage, "store_project", log, env) as old:
        wait_until(lambda: "not known to this release" in log.read_text())
        old.send_signal(signal.SIGTERM)
        old.wait(30)
    with worker(manage, "tests.newer_release", tmp_path / "new", env):
        wait_until(lambda: said(env) == "hello", seconds=60)


def test_further_arguments_are_ignored(manage: Manage, env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    for name in ("reconcile", "sweep_jobs", "sweep_upkeep"):
        send(env, f"intelligence.tasks.{name}", "of a later release", 7)
    with worker(manage, "tests.newer_release", log, env):
        send(env, TASK, "done")
        wait_until(lambda: said(env) == "done")
    assert "TypeError" not in log.read_text()


@pytest.mark.parametrize(
    "name", [name for name, task in vars(intelligence_tasks).items() if hasattr(task, "delay")]
)
def test_every_task_takes_further_arguments(name: str) -> None:
    """They come last and by position; see hints.send."""
    parameters = inspect.signature(vars(intelligence_tasks)[name].run).parameters.values()
    assert any(each.kind is each.VAR_POSITIONAL for each in parameters)
