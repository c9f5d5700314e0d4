"""Workers of two releases at once: neither loses what the other asks for."""

from __future__ import annotations

import inspect
import signal
from pathlib import Path

import pytest

from intelligence import tasks as intelligence_tasks
from tests.end_to_end.celery_workers import said, send, worker
from tests.newer_release import TASK
from tests.processes import Manage, wait_until

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.timeout(240)]


def test_a_task_that_an_older_worker_does_not_know(
    manage: Manage, worker_env: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "old"
    send(worker_env, TASK, "hello", "and more")
    with worker(manage, "store_project", log, worker_env) as old:
        wait_until(lambda: "not known to this release" in log.read_text())
        with worker(manage, "tests.newer_release", tmp_path / "new", worker_env):
            wait_until(lambda: said(worker_env) == "hello", seconds=90)
        assert old.poll() is None


def test_it_outlives_the_older_worker(manage: Manage, worker_env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "old"
    send(worker_env, TASK, "hello")
    with worker(manage, "store_project", log, worker_env) as old:
        wait_until(lambda: "not known to this release" in log.read_text())
        old.send_signal(signal.SIGTERM)
        old.wait(30)
    with worker(manage, "tests.newer_release", tmp_path / "new", worker_env):
        wait_until(lambda: said(worker_env) == "hello", seconds=60)


def test_further_arguments_are_ignored(manage: Manage, worker_env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    for name in ("reconcile", "sweep_jobs", "sweep_upkeep"):
        send(worker_env, f"intelligence.tasks.{name}", "of a later release", 7)
    with worker(manage, "tests.newer_release", log, worker_env):
        send(worker_env, TASK, "done")
        wait_until(lambda: said(worker_env) == "done")
    assert "TypeError" not in log.read_text()


@pytest.mark.parametrize(
    "name", [name for name, task in vars(intelligence_tasks).items() if hasattr(task, "delay")]
)
def test_every_task_takes_further_arguments(name: str) -> None:
    """They come last and by position; see hints.send."""
    parameters = inspect.signature(vars(intelligence_tasks)[name].run).parameters.values()
    assert any(each.kind is each.VAR_POSITIONAL for each in parameters)
