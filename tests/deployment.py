"""The scaled store as it is deployed: a web process, workers, PostgreSQL, Redis, a vector server."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis
from qdrant_client import QdrantClient

from store_project.celery import QUEUES
from store_project.config import BASE_DIR
from tests import qdrant_service
from tests.store_at_rest import Points, StoreAtRest

LOOPBACK = "127.0.0.1"
POSTGRESQL = f"postgres://postgres@{LOOPBACK}"
REDIS_DATABASES = range(1, 16)
WORKER_SECONDS = 30

# Short, so that what a dead worker left is taken up within the test.
TIMES = {"JOB_SILENCE_SECONDS": "2", "COMPUTE_JOB_DEADLINE_SECONDS": "6"}


@dataclass
class Deployment:
    server_dir: Path
    env: Mapping[str, str]
    web_port: int

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.web_port}"

    @property
    def media(self) -> Path:
        return self.server_dir / "media"

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.env["DATABASE_URL"], autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()

    def broker(self) -> redis.Redis:
        return redis.Redis.from_url(self.env["CELERY_BROKER_URL"])

    def at_rest(self) -> StoreAtRest:
        return StoreAtRest(self.query, self.media, self.server_dir / "compute", self._vectors())

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """In a process group of its own, so that a kill takes its children too."""
        log = (self.server_dir / "processes.log").open("ab")
        with log:
            return subprocess.Popen(
                [sys.executable, *command],
                cwd=BASE_DIR,
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def manage(self, *arguments: str) -> None:
        subprocess.run(
            [sys.executable, "manage.py", *arguments], cwd=BASE_DIR, env=dict(self.env), check=True
        )

    def start_worker(self, name: str) -> subprocess.Popen[bytes]:
        return self.start_celery("store_project", name, QUEUES)

    def start_celery(self, app: str, name: str, queues: Sequence[str]) -> subprocess.Popen[bytes]:
        options = ["-Q", ",".join(queues), "--pool", "prefork", "--concurrency", "1", "-n", f"{name}@%h"]
        quick_start = ["--without-mingle", "--without-gossip", "--without-heartbeat"]
        return self.start("-m", "celery", "-A", app, "worker", *options, *quick_start)

    def _vectors(self) -> dict[str, Points]:
        client = QdrantClient(url=self.env["QDRANT_URL"], check_compatibility=False)
        names = {each.alias_name.removesuffix("_embeddings"): each for each in client.get_aliases().aliases}
        found: dict[str, Points] = {"clip": {}, "dino": {}, "face": {}}
        for space, alias in names.items():
            records, following = client.scroll(alias.collection_name, limit=100_000)
            assert following is None
            found[space] = {int(record.id): record.payload or {} for record in records}
        client.close()
        return found


def kill(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)
    process.wait(WORKER_SECONDS)


@contextmanager
def deployed(folder: Path, **further: str) -> Iterator[Deployment]:
    """Everything but the workers; taken down and dropped at the end. `further` goes to their environment,
    and may name services of the caller's own.
    """
    with ExitStack() as stack:
        server_dir = folder / "server"
        server_dir.mkdir(parents=True)
        env = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")},
            "AUTH_DISABLED": "true",
            "CL_SERVER_DIR": str(server_dir),
            "COMPUTE_BACKEND": "fake",
            "ENV_FILE": "",
            "LOG_LEVEL": "WARNING",
            "QDRANT_URL": stack.enter_context(qdrant_service.running()),
            **TIMES,
            **further,
        }
        if "CELERY_BROKER_URL" not in env:
            env["CELERY_BROKER_URL"] = stack.enter_context(own_redis_database())
        if "DATABASE_URL" not in env:
            env["DATABASE_URL"] = stack.enter_context(own_database())
        deployment = Deployment(server_dir, env, free_port())
        web = deployment.start(
            "manage.py", "serve", "--no-worker", "--port", str(deployment.web_port), "--grace", "5"
        )
        stack.callback(kill, web)
        _await_port(deployment.web_port, web)
        yield deployment


@contextmanager
def own_database() -> Iterator[str]:
    """The URL of a new one, which is dropped at the end."""
    name = f"store_{os.getpid()}_{random.randrange(10**6)}"
    with psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    try:
        yield f"{POSTGRESQL}/{name}"
    finally:
        with psycopg.connect(f"{POSTGRESQL}/postgres", autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextmanager
def own_redis_database() -> Iterator[str]:
    """One of Redis's databases that nobody uses."""
    for number in REDIS_DATABASES:
        client = redis.Redis(host=LOOPBACK, db=number)
        if _is_taken(client):
            try:
                yield f"redis://{LOOPBACK}:6379/{number}"
            finally:
                client.flushdb()
                client.close()
            return
        client.close()
    raise RuntimeError("every database of Redis is in use")


def _is_taken(client: Any) -> bool:
    """False where it is somebody's: by what lies in it, or by a worker that was left behind and listens."""
    if not client.set("store-chaos", os.getpid(), nx=True, ex=3600):
        return False
    here = [each for each in client.client_list() if each["db"] == str(client.get_connection_kwargs()["db"])]
    if client.dbsize() == 1 and len(here) == 1:
        return True
    client.delete("store-chaos")
    return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError("the web process did not start; see processes.log")
