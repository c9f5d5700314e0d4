"""Servers of the test's own on free ports, to be killed, frozen and started again over the same data."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deployment import LOOPBACK, free_port

START_SECONDS = 30


@dataclass
class OwnService:
    command: Sequence[str]
    port: int
    folder: Path
    user: str | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Answers connections when it returns."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                user=self.user,
            )
        deadline = time.monotonic() + START_SECONDS
        while not _answers(self.port):
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, f"{self.command[0]} does not answer"
            time.sleep(0.05)

    def kill(self, number: int = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(START_SECONDS)

    def freeze(self) -> None:
        """It takes connections, and answers nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(START_SECONDS)


@contextmanager
def redis() -> Iterator[OwnService]:
    port = free_port()
    command = [program("redis-server"), "--port", str(port), "--bind", LOOPBACK, "--save", ""]
    with _folder() as folder, _running(OwnService(command, port, folder)) as service:
        yield service


@contextmanager
def redis_with_tls(certificate: Path, key: Path) -> Iterator[OwnService]:
    port = free_port()
    files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate)
    tls = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", *map(str, files)]
    command = [program("redis-server"), "--bind", LOOPBACK, "--save", "", *tls]
    with _folder() as folder, _running(OwnService(command, port, folder)) as service:
        yield service


@contextmanager
def mosquitto() -> Iterator[OwnService]:
    port = free_port()
    with _folder() as folder:
        (folder / "conf").write_text(f"listener {port} {LOOPBACK}\nallow_anonymous true\nuser root\n")
        command = [program("mosquitto"), "-c", str(folder / "conf")]
        with _running(OwnService(command, port, folder)) as service:
            yield service


@contextmanager
def postgresql() -> Iterator[OwnService]:
    """Whose user is `postgres`, as its database."""
    user = "postgres" if os.geteuid() == 0 else None  # it refuses to run as root
    port = free_port()
    with _folder() as folder:
        if user:
            shutil.chown(folder, user)
        data = folder / "data"
        initdb = [program("initdb"), "-D", str(data), "-U", "postgres", "--auth", "trust", "--no-sync"]
        subprocess.run(initdb, check=True, capture_output=True, user=user)
        options = ["-p", str(port), "-h", LOOPBACK, "-c", f"unix_socket_directories={folder}"]
        command = [program("postgres"), "-D", str(data), *options]
        with _running(OwnService(command, port, folder, user)) as service:
            yield service


@contextmanager
def _running(service: OwnService) -> Iterator[OwnService]:
    try:
        service.start()
        yield service
    finally:
        service.end()


@contextmanager
def _folder() -> Iterator[Path]:
    """One that the service's own user can reach; pytest's are ours alone."""
    with tempfile.TemporaryDirectory(prefix="store-service-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def program(name: str) -> str:
    """Where it is. A test that needs it is skipped without it, but fails where `CI` is set."""
    folders = [os.environ["PATH"], "/usr/sbin", *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin")))]
    found = shutil.which(name, path=":".join(folders))
    if found is None or (name == "postgres" and os.geteuid() == 0 and not _has_user("postgres")):
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"{name} is not installed")
    assert found is not None
    return found


def _has_user(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0
