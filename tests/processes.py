from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from store_project.config import BASE_DIR


@dataclass(frozen=True)
class Manage:
    """Runs manage.py in a process of its own, over a server's folder of its own."""

    server_dir: Path

    def __call__(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(args),
            env=self._environment(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    @contextmanager
    def started(self, *args: str, **env: str) -> Iterator[subprocess.Popen[str]]:
        """The running process; killed at the end if it still runs."""
        with subprocess.Popen(
            self._command(args),
            env=self._environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @staticmethod
    def _command(args: tuple[str, ...]) -> list[str]:
        return [sys.executable, str(BASE_DIR / "manage.py"), *args]

    def _environment(self, env: dict[str, str]) -> dict[str, str]:
        own = {"CL_SERVER_DIR": str(self.server_dir), "DATABASE_URL": ""}
        return {**os.environ, **own, **env}


def wait_until(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.02)


def children_of(pid: int) -> list[int]:
    """Those that have not ended."""
    stats = [path for path in Path("/proc").iterdir() if path.name.isdigit()]
    return [int(path.name) for path in stats if _parent_and_state(path) in {(pid, s) for s in "RSDT"}]


def command_of(pid: int) -> list[str]:
    """Empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []


def has_loaded(pid: int, library: str) -> bool:
    try:
        return library in Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def _parent_and_state(process: Path) -> tuple[int, str]:
    try:
        state, parent, *_ = (process / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0, "X"
    return int(parent), state
