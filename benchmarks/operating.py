"""A part of benchmarks/operations_at_scale.py: fills a large store, and does to it what operators do."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import ClassVar

import httpx

from benchmarks import rows, servers
from benchmarks.figures import MEBIBYTE, Figure, Target
from benchmarks.photos import write_photo

SHARED_SECONDS = {"/readyz": 1.1, "/metrics": 10.5}
"""So long an answer is good for all who ask."""
LIMITS = {"/readyz": Target(200, of_ratio=False), "/metrics": Target(200, of_ratio=False)}
ASKED = 4
CALM_SECONDS = 10.0
LOOK_SECONDS = 0.05
TO_THE_END = (
    "from entities import services; from entities.storage import EntityStorageService; "
    "services.carry_on(EntityStorageService.from_settings(), seconds=1e9)"
)


@dataclass(frozen=True)
class Large:
    """What lies in it: rows 1 to `everybody`, of which those from a tree's number on lie in it."""

    SMALL: ClassVar[int] = 200
    """As many as are removed at once."""

    everybody: int
    tree: int
    small_tree: int

    def fill(self, folder: Path, variables: dict[str, str]) -> None:
        subprocess.run(_manage("migrate", "--verbosity=0"), env=_environment(folder, variables), check=True)
        waiting = rows.of_store(rows.PENDING)
        for first, last, tables in (
            (1, self.tree - 1, waiting),
            (self.tree, self.small_tree - 1, rows.below(self.tree, waiting)),
            (self.small_tree, self.everybody, rows.below(self.small_tree, waiting)),
        ):
            if variables:
                rows.copy(variables["DATABASE_URL"], tables, first=first, last=last)
            else:
                rows.fill(folder / "store" / "store.db", tables, first=first, last=last)
        if variables:
            rows.settle(variables["DATABASE_URL"], last=self.everybody)
        _write_files(folder / "store" / "media", self.everybody)


def _write_files(media: Path, last: int) -> None:
    folders = set[Path]()
    for name, size in rows.files(1, last):
        path = media / name
        if path.parent not in folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            folders.add(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.ftruncate(descriptor, size)
        os.close(descriptor)


def measure(large: Large, folder: Path, variables: dict[str, str]) -> Iterator[Figure]:
    write_photo(folder / "photo.jpg", 1)
    with servers.store_alone(folder, worker=False, **variables) as server:
        http = httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=300)
        for path in SHARED_SECONDS:
            yield from _asked(http, path)
        yield from _audited(folder, variables)
        with _uploading(http, folder) as calm:
            time.sleep(CALM_SECONDS)
        yield from _of(calm, "upload, nothing else")
        yield from _removed(http, large.small_tree, folder, variables, f"of {Large.SMALL}")
        yield from _removed(http, large.tree, folder, variables, f"of {large.small_tree - large.tree:,}")


def _asked(http: httpx.Client, path: str) -> Iterator[Figure]:
    print(f"... {path}", flush=True)
    times = []
    for _ in range(ASKED):
        times.append(_timed(http, "GET", path))
        time.sleep(SHARED_SECONDS[path])
    yield Figure(f"{path}, first", "ms", times[0] * 1000)
    yield Figure(f"{path}, longest after", "ms", max(times[1:]) * 1000, target=LIMITS[path])


def _audited(folder: Path, variables: dict[str, str]) -> Iterator[Figure]:
    print("... audit", flush=True)
    began = time.monotonic()
    with subprocess.Popen(_manage("audit", "--json"), env=_environment(folder, variables)) as process:
        most = _most_memory(process)
    note = "" if process.returncode == 0 else f"exit code {process.returncode}"
    yield Figure("audit", "s", time.monotonic() - began, note=note)
    yield Figure("audit, most memory", "MiB", None if most is None else most / MEBIBYTE)


def _most_memory(process: subprocess.Popen[bytes]) -> int | None:
    """Until it ends; None without Linux's /proc.

    What the system tells of a process that has ended is never less than what its parent held when it began.
    """
    server, most = servers.Server(0, process.pid, ""), None
    while process.poll() is None:
        with suppress(OSError, StopIteration):  # it may end just now
            most = server.peak_memory()
        time.sleep(LOOK_SECONDS)
    return most


def _removed(
    http: httpx.Client, entity: int, folder: Path, variables: dict[str, str], name: str
) -> Iterator[Figure]:
    print(f"... removal {name}", flush=True)
    with _uploading(http, folder) as uploads:
        began = time.monotonic()
        _timed(http, "PATCH", f"/entities/{entity}", data={"is_deleted": "true"})
        yield Figure(f"removal {name}, answered", "ms", _timed(http, "DELETE", f"/entities/{entity}") * 1000)
        command = _manage("shell", "--verbosity=0", "--command", TO_THE_END)
        subprocess.run(command, env=_environment(folder, variables), check=True)
        yield Figure(f"removal {name}, to the end", "s", time.monotonic() - began)
    yield from _of(uploads, f"upload during removal {name}")


@contextmanager
def _uploading(http: httpx.Client, folder: Path) -> Iterator[list[float]]:
    """One photo after the other, of which each is new; how long each has taken."""
    stopping, times, content = threading.Event(), list[float](), (folder / "photo.jpg").read_bytes()

    def upload() -> None:
        while not stopping.is_set():
            # What follows a JPEG's end is not looked at, but makes it another file.
            file = content + next(_numbers).to_bytes(8)
            form = {"is_collection": "false", "label": "one more"}
            times.append(_timed(http, "POST", "/entities", data=form, files={"media_file": ("x", file)}))

    thread = threading.Thread(target=upload)
    thread.start()
    try:
        yield times
    finally:
        stopping.set()
        thread.join()


_numbers = count()


def _timed(http: httpx.Client, method: str, path: str, **body: object) -> float:
    began = time.monotonic()
    http.request(method, path, **body).raise_for_status()  # type: ignore[arg-type]
    return time.monotonic() - began


def _of(times: Sequence[float], name: str) -> Iterator[Figure]:
    yield Figure(f"{name}, p50", "ms", statistics.median(times) * 1000, note=f"of {len(times)}")
    yield Figure(f"{name}, longest", "ms", max(times) * 1000)


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, str(servers.ROOT / "manage.py"), *arguments]


def _environment(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    return {**servers.environment_of(folder), **variables}
