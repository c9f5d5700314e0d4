"""The store and the bare project as processes, each over a folder of its own."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket

from benchmarks import rows

ROOT = Path(__file__).resolve().parent.parent
THREADS = 8
START_SECONDS = 60
STOP_SECONDS = 20
KEPT_VARIABLES = ("HOME", "LANG", "PATH", "TMPDIR")
"""Nothing else is handed on: the store must not be configured as this shell's is."""


class ServerFailedError(RuntimeError):
    """It did not start or ended by itself; the message has the end of its log."""


@dataclass(frozen=True)
class Server:
    port: int
    process_id: int
    path: str
    """Where its rows are listed."""

    def status(self, suffix: str) -> int:
        """Of the answer to a GET. Raises ConnectionError while nobody listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        connection.request("GET", self.path + suffix)
        with connection.getresponse() as response:
            return response.status

    def reset_peak_memory(self) -> None:
        self._proc("clear_refs").write_text("5")

    def memory(self) -> int:
        """Resident bytes."""
        return self._status("VmRSS")

    def peak_memory(self) -> int:
        """The most resident bytes since the reset."""
        return self._status("VmHWM")

    def has_memory_figures(self) -> bool:
        return self._proc("clear_refs").exists()

    def _status(self, name: str) -> int:
        lines = self._proc("status").read_text().splitlines()
        kibibytes = next(line.split()[1] for line in lines if line.startswith(f"{name}:"))
        return int(kibibytes) * 1024

    def _proc(self, name: str) -> Path:
        return Path("/proc", str(self.process_id), name)


@dataclass(frozen=True)
class Pair:
    store: Server
    bare: Server


def prepare(folder: Path) -> None:
    """Makes the folders and the empty databases."""
    for name in ("store", "bare"):
        (folder / name).mkdir(parents=True)
    for command in (_manage("migrate", "--verbosity=0"), _bare(folder)):
        subprocess.run(command, env=environment_of(folder), check=True)


def fill(folder: Path, *, first: int, last: int) -> None:
    rows.fill_store(folder / "store" / "store.db", first=first, last=last)
    rows.fill_bare(folder / "bare" / "bare.db", first=first, last=last)


@contextmanager
def started(folder: Path) -> Iterator[Pair]:
    """Both at once: whichever is not asked takes no time."""
    ports = _free_ports(2)
    store = _manage("serve", "--no-worker", f"--port={ports[0]}", "--grace=2")
    bare = [*_bare(folder), f"--port={ports[1]}"]
    with (
        _running(store, folder / "store.log", port=ports[0], path="/entities") as first,
        _running(bare, folder / "bare.log", port=ports[1], path="/items") as second,
    ):
        yield Pair(store=first, bare=second)


@contextmanager
def store_alone(folder: Path, *, worker: bool = False, **variables: str) -> Iterator[Server]:
    options = [] if worker else ["--no-worker"]
    with _serving(folder, _manage("serve", *options), variables) as store:
        yield store


@contextmanager
def store_that_writes(folder: Path, model: str, vectors: Path, **variables: str) -> Iterator[Server]:
    """Serves alone, and keeps writing the vectors of this file that it already has."""
    script = str(ROOT / "benchmarks" / "serving_while_writing.py")
    command = [sys.executable, script, model, str(vectors), "--no-worker"]
    with _serving(folder, command, variables) as store:
        yield store


@contextmanager
def _serving(folder: Path, command: Sequence[str], variables: Mapping[str, str]) -> Iterator[Server]:
    (port,) = _free_ports(1)
    command = [*command, f"--port={port}", "--grace=2"]
    environment = {**environment_of(folder), **variables}
    with _running(
        command, folder / "store.log", port=port, path="/entities", environment=environment
    ) as store:
        yield store


@contextmanager
def ingesting(folder: Path, photos: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py ingest` of these photos, beside the store."""
    environment = {**environment_of(folder), **variables}
    with (folder / "ingest.log").open("ab") as output:
        process = subprocess.Popen(
            _manage("ingest", str(photos)), env=environment, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        _stop(process)


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), *arguments]


def _bare(folder: Path) -> list[str]:
    return [sys.executable, str(ROOT / "benchmarks" / "bare.py"), str(folder / "bare")]


def environment_of(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        "AUTH_DISABLED": "true",
        "CL_SERVER_DIR": str(folder / "store"),
        "ENV_FILE": "",
        "LOG_LEVEL": "WARNING",
        "SERVER_THREADS": str(THREADS),
    }


def _free_ports(number: int) -> list[int]:
    sockets = [socket() for _ in range(number)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


@contextmanager
def _running(
    command: Sequence[str], log: Path, *, port: int, path: str, environment: dict[str, str] | None = None
) -> Iterator[Server]:
    # In a session of its own: Ctrl-C reaches this process alone, which then stops the server.
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment or environment_of(log.parent),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        server = Server(port, process.pid, path)
        _wait_until_it_answers(server, process, log)
        yield server
        if process.poll() is not None:
            raise ServerFailedError(f"{log.stem} ended by itself:\n{_tail(log)}")
    finally:
        _stop(process)


def _wait_until_it_answers(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _answers(server):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServerFailedError(f"{log.stem} does not answer:\n{_tail(log)}")
        time.sleep(0.1)


def _answers(server: Server) -> bool:
    try:
        return server.status("?page_size=1") == http.HTTPStatus.OK
    except ConnectionError:
        return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-20:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
