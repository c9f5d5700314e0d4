"""What is measured, turn by turn on the store and on the bare project."""

from __future__ import annotations

import http.client
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import servers
from benchmarks.clients import Call, Clients, Load
from benchmarks.figures import MEBIBYTE, Figure, Target, latencies, rate
from benchmarks.rows import OFTEN_CHANGED
from benchmarks.servers import Pair, Server

CLIENTS = 8
FEW_ROWS = 5_000
ROUNDS = 4
SEED = 1
BYTES_PER_PHOTO = 450_000
BYTES_PER_ROW = 3_000
"""In both databases together."""

UPLOAD_TARGET = Target(0.7, at_least=True)
FEW_ROWS_LIST_TARGET = Target(2)
MANY_ROWS_LIST_TARGET = Target(3)
GET_TARGET = Target(4, of_ratio=False)
MEMORY_TARGET = Target(32, of_ratio=False)


@dataclass(frozen=True)
class Plan:
    many_rows: int
    photos: int
    large_file: int
    """Bytes."""
    gets: int
    """Requests of one kind in one round to one server."""

    @property
    def disk_bytes(self) -> int:
        """A photo lies in three places; the bare project holds a large file twice while it takes it in."""
        writing = 3 * self.photos * BYTES_PER_PHOTO + 3 * self.large_file
        return max(writing, self.many_rows * BYTES_PER_ROW)


@dataclass
class Run:
    plan: Plan
    folder: Path
    clients: Clients
    figures: list[Figure] = field(default_factory=list)


def measure(run: Run, parts: Sequence[str]) -> None:
    """Fills `run.figures`, in the order in which things are measured."""
    for name, part in PARTS.items():
        if name in parts:
            part(run, run.folder / name)


def say(what: str) -> None:
    print(f"... {what}", flush=True)


def in_turn(pair: Pair, number: int) -> tuple[Server, Server]:
    """Who begins changes from round to round."""
    return (pair.bare, pair.store) if number % 2 else (pair.store, pair.bare)


# --- Writing ---


def measure_writing(run: Run, folder: Path) -> None:
    servers.prepare(folder)
    say(f"making {run.plan.photos} photos")
    photos = run.clients.write_photos(folder / "photos", run.plan.photos)
    with servers.started(folder) as pair:
        measure_uploads(run, pair, photos)
    shutil.rmtree(folder)


def measure_large_file(run: Run, folder: Path) -> None:
    servers.prepare(folder)
    with servers.started(folder) as pair:
        measure_memory(run, pair)
    shutil.rmtree(folder)


def measure_uploads(run: Run, pair: Pair, photos: Sequence[Path]) -> None:
    say("uploading the photos")
    loads: dict[Server, list[Load]] = {pair.store: [], pair.bare: []}
    for number in range(ROUNDS):
        files = photos[number::ROUNDS]
        for server in in_turn(pair, number):
            calls = [Call(server.path, file) for file in files]
            loads[server].append(run.clients.together(server.port, calls))
    store, bare = loads.values()
    run.figures.append(rate(f"uploads, {CLIENTS} clients", store, bare, target=UPLOAD_TARGET))
    run.figures += latencies(f"upload, {CLIENTS} clients", store, bare)


def measure_memory(run: Run, pair: Pair) -> None:
    size = f"{run.plan.large_file / 1000**3:g} GB"
    name = f"memory growth, upload of {size}"
    if not pair.store.has_memory_figures():
        run.figures.append(Figure(name, "MiB", note="not measured: needs Linux's /proc"))
        return
    say(f"uploading a file of {size}")
    store, bare = (_memory_growth(run, server) / MEBIBYTE for server in (pair.store, pair.bare))
    run.figures.append(Figure(name, "MiB", store, bare, MEMORY_TARGET, has_ratio=False))


def _memory_growth(run: Run, server: Server) -> int:
    server.reset_peak_memory()
    before = server.memory()
    run.clients.stream(server.port, server.path, size=run.plan.large_file)
    return server.peak_memory() - before


# --- Reading ---


def measure_reading(run: Run, folder: Path) -> None:
    servers.prepare(folder)
    for first, last, target in (
        (1, FEW_ROWS, FEW_ROWS_LIST_TARGET),
        (FEW_ROWS + 1, run.plan.many_rows, MANY_ROWS_LIST_TARGET),
    ):
        say(f"filling both databases up to {last:,} rows")
        servers.fill(folder, first=first, last=last)
        with servers.started(folder) as pair:
            say(f"reading among {last:,} rows")
            _measure_lists(run, pair, rows=last, target=target)
            _measure_single(run, pair, rows=last)
    shutil.rmtree(folder)


def _measure_lists(run: Run, pair: Pair, *, rows: int, target: Target) -> None:
    for size in (20, 100):
        suffixes = [f"?page_size={size}"] * run.plan.gets
        compare(run, pair, f"list of {size}, {rows:,} rows", store=suffixes, bare=suffixes, target=target)


def _measure_single(run: Run, pair: Pair, *, rows: int) -> None:
    drawn = random.Random(SEED).sample(range(OFTEN_CHANGED, rows, OFTEN_CHANGED), run.plan.gets)
    one = [f"/{number}" for number in drawn]
    compare(run, pair, f"get one, {rows:,} rows", store=one, bare=one, target=GET_TARGET)
    versions, name = [f"{suffix}/versions" for suffix in one], f"versions, {rows:,} rows"
    if pair.store.status(versions[0]) == http.client.NOT_FOUND:
        run.figures.append(Figure(name, "ms", note="not served yet"))
    else:
        compare(run, pair, name, store=versions, bare=one)


def compare(
    run: Run,
    pair: Pair,
    name: str,
    *,
    store: Sequence[str],
    bare: Sequence[str],
    target: Target | None = None,
) -> None:
    """Paths below the rows' own; one client first, to which the target belongs, then all of them."""
    suffixes = {pair.store: store, pair.bare: bare}
    alone: dict[Server, list[Load]] = {pair.store: [], pair.bare: []}
    together: dict[Server, list[Load]] = {pair.store: [], pair.bare: []}
    for number in range(ROUNDS):
        for server in in_turn(pair, number):
            calls = [Call(server.path + suffix) for suffix in suffixes[server]]
            alone[server].append(run.clients.alone(server.port, calls))
            together[server].append(run.clients.together(server.port, calls))
    run.figures += latencies(name, *alone.values(), target=target)
    run.figures += latencies(f"{name}, {CLIENTS} clients", *together.values())


PARTS: dict[str, Callable[[Run, Path], None]] = {
    "uploads": measure_writing,
    "memory": measure_large_file,
    "reading": measure_reading,
}
