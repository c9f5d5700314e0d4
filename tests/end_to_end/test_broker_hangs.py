"""A Redis that takes connections and answers nothing, when a worker has ended a task."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.celery_workers import said, send, worker
from tests.newer_release import SLOW_TASK, TASK
from tests.own_services import OwnService
from tests.processes import Manage, wait_until

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.timeout(240)]

PREFORK = ("-P", "prefork", "-c", "1")
NOT_TOLD = "Couldn't ack"


def test_the_worker_takes_work_again(
    manage: Manage, worker_env: dict[str, str], own_broker: OwnService, tmp_path: Path
) -> None:
    log, may_end = tmp_path / "log", tmp_path / "may end"
    send(worker_env, SLOW_TASK, str(may_end))
    with worker(manage, "tests.newer_release", log, worker_env, PREFORK):
        wait_until(lambda: said(worker_env) == "begun")
        own_broker.freeze()
        may_end.touch()
        wait_until(lambda: NOT_TOLD in log.read_text())
        own_broker.thaw()
        send(worker_env, TASK, "hello")
        wait_until(lambda: said(worker_env) == "hello")
