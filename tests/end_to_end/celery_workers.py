"""Celery workers of one process, on a Redis of the test's own; and tasks that only the tests know."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from celery import Celery

from store_project.config import BASE_DIR
from tests.processes import Manage


@contextmanager
def worker(
    manage: Manage, app: str, log: Path, env: dict[str, str], pool: Sequence[str] = ("-P", "solo")
) -> Iterator[subprocess.Popen[bytes]]:
    options = [*pool, "-Q", "reconcile", "--without-mingle", "--without-gossip", "-n", f"{app}@%h"]
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
