"""Measures searching by likeness, beside comparing the query with every vector (numpy, exact).

The vectors are synthetic and clustered: 100 to a cluster on average, each the cluster's centre with noise of
0.7 of its length, of length 1; queries are made like them, about clusters drawn at random. They lie in a
file, mapped into memory, so that a million of them need no more than the engine does. All in one run:

  edge        the embedded engine in this process: writing all vectors and making the index, ten nearest of a
              query alone and while another thread writes 16 vectors 20 times a second, how many of the truly
              ten nearest are found, also with filters that keep 1 and 20 points in a hundred: the first are
              few enough to be compared, the others are found through those that are not kept
  open        a process of its own that opens the folder and answers its first query: time, and memory
  server      the same through a Qdrant server, where QDRANT_TEST_URL names one (its memory is its own affair)
  endpoint    `manage.py serve --no-worker` over the same folder and as many rows, asked over HTTP by one
              client: /intelligence/entities/{id}/similar; once more while a thread of it writes as above

With --folder what was built there before is measured again; with --prepare it is only built, which may be
done on a busy machine: a million vectors take their time.

bare: the exact search of one query with numpy. The last line of the output is one JSON object. Compare
ratios, not milliseconds, between machines and between days; the load of the machine is told.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

# Run as a script, Python looks for modules beside the script only.
from benchmarks import clustered, rows, servers
from benchmarks.clients import Call, Clients, Load
from benchmarks.clustered import NEAREST, Matrix
from benchmarks.figures import Figure, Target, latencies, table
from benchmarks.writing import ONE_IN, keep_writing, points
from vectors import COLLECTIONS, Filter, MatchAny, QdrantVectorStore, VectorKind, VectorSettings
from vectors.collections import CollectionSpec, ModelCollection
from vectors.engines.base import VectorEngine
from vectors.engines.edge import EdgeEngine
from vectors.store import EVERYTHING

MODEL = "synthetic"
VECTORS = "vectors.npy"
QUERIES = 300
BARE_QUERIES = 40
PERCENTS_KEPT = (1, 20)


@dataclass(frozen=True)
class Kept:
    """What a filter keeps: points whose number leaves a remainder below `percent`."""

    percent: int
    exact: list[list[int]]
    exact_load: Load

    @property
    def filter(self) -> Filter:
        return Filter(must=(MatchAny("ancestor_ids", tuple(range(self.percent))),))

    @classmethod
    def of(cls, percent: int, vectors: Matrix, queries: Matrix) -> Self:
        ids = np.arange(1, len(vectors) + 1)
        kept = ids[ids % ONE_IN < percent]
        theirs = vectors[kept - 1]
        load, _ = _timed(queries[:BARE_QUERIES], lambda query: clustered.nearest(theirs, query))
        return cls(percent, clustered.exact(theirs, queries, kept), load)


@dataclass
class Run:
    vectors: Matrix
    queries: Matrix
    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        ids = np.arange(1, len(self.vectors) + 1)
        self.kept = [Kept.of(percent, self.vectors, self.queries) for percent in PERCENTS_KEPT]
        self.exact = clustered.exact(self.vectors, self.queries, ids)
        few = self.queries[:BARE_QUERIES]
        self.exact_load, _ = _timed(few, lambda query: clustered.nearest(self.vectors, query))


def main() -> int:
    options = _options()
    if options.open:
        return _open(options.open, options.dim)
    began = time.monotonic()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="store-benchmark-") as name:
        folder = options.folder or Path(name)
        built = _prepared(folder, options.n, options.dim)
        if options.prepare:
            print(json.dumps(built))
            return 0
        run = Run(clustered.mapped(folder / VECTORS), clustered.queries(QUERIES, options.n, options.dim))
        run.figures += [Figure(f"edge: {what}", "s", seconds) for what, seconds in built.items()]
        with _edge(folder) as engine:
            _measure_engine(run, "edge", _store(engine, _spec(options.dim)))
        _measure_opening(run, folder, options.dim)
        _measure_server(run, options.dim)
        _measure_endpoint(run, folder, options)
    print(table(run.figures))
    print(*run.notes, sep="\n")
    summary = {
        "n": options.n,
        "dimension": options.dim,
        "cpus": os.cpu_count(),
        "load_before": round(load, 1),
        "load_after": round(os.getloadavg()[0], 1),
        "seconds": round(time.monotonic() - began),
        "notes": run.notes,
        "figures": [figure.as_json() for figure in run.figures],
    }
    print(json.dumps(summary))
    return 0


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000, help="vectors (%(default)s)")
    parser.add_argument("--dim", type=int, default=512, help="of each (%(default)s)")
    parser.add_argument("--folder", type=Path, help="to work in, and to keep what is built")
    parser.add_argument("--prepare", action="store_true", help="only build it, in --folder")
    parser.add_argument(
        "--open", type=Path, help="measure only opening these vectors (for the benchmark itself)"
    )
    return parser.parse_args()


# --- What is searched, made once ---


def _prepared(folder: Path, number: int, dimension: int) -> dict[str, float]:
    """Builds what is not there yet; answers what took how many seconds."""
    told = folder / f"built-{number}-{dimension}.json"
    if told.exists():
        read: dict[str, float] = json.loads(told.read_text())
        return read
    if (folder / "store").exists():
        raise SystemExit(f"{folder} holds something else, or was not finished: name another folder.")
    servers.prepare(folder)
    clustered.write(folder / VECTORS, number, dimension)
    built = _build(folder, dimension)
    _write_rows(folder, number)
    told.write_text(json.dumps(built))
    return built


def _build(folder: Path, dimension: int) -> dict[str, float]:
    vectors = clustered.mapped(folder / VECTORS)
    with _edge(folder) as engine:
        store = _store(engine, _spec(dimension))
        began = time.monotonic()
        _write_all(store, vectors)
        written = time.monotonic() - began
        name = ModelCollection(_spec(dimension).name, MODEL, dimension).physical_name
        while not engine.is_indexed(name):
            time.sleep(1)
            _progress(f"indexing for {time.monotonic() - began - written:.0f} s")
        return {"all written": written, "and indexed": time.monotonic() - began}


def _write_all(store: QdrantVectorStore, vectors: Matrix) -> None:
    for start in range(0, len(vectors), 5000):
        store.upsert(points(vectors[start : start + 5000], start + 1), model=MODEL)
        _progress(f"{start:,} of {len(vectors):,} written")


def _progress(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{words:60}", end="", file=sys.stderr, flush=True)


def _timed(queries: Matrix, ask: Callable[[Matrix], list[int]]) -> tuple[Load, list[list[int]]]:
    ask(queries[0])
    answers, seconds = [], []
    start = time.monotonic()
    for query in queries:
        began = time.monotonic()
        answers.append(ask(query))
        seconds.append(time.monotonic() - began)
    return Load(start, time.monotonic(), seconds), answers


def _recall(found: Sequence[Sequence[int]], exact: Sequence[Sequence[int]]) -> float:
    pairs = zip(found, exact, strict=True)
    return 100 * statistics.fmean(len(set(mine) & set(truly)) / len(truly) for mine, truly in pairs)


# --- An engine ---


def _store(engine: VectorEngine, spec: CollectionSpec) -> QdrantVectorStore:
    return QdrantVectorStore(engine, spec, lambda: MODEL)


def _measure_engine(run: Run, name: str, store: QdrantVectorStore) -> None:
    exact = run.exact_load

    def search(query: Matrix, filter: Filter = EVERYTHING) -> list[int]:
        return [hit.id for hit in store.search(query, model=MODEL, limit=NEAREST, filter=filter)]

    load, _ = _timed(run.queries, search)
    run.figures += latencies(f"{name}: search, just opened", [load], [exact])
    load, found = _timed(run.queries, search)
    at_100_000 = len(run.vectors) <= 100_000
    target = Target(2, of_ratio=False) if at_100_000 else None
    run.figures += latencies(f"{name}: search", [load], [exact], target=target)
    recall = Target(98, of_ratio=False, at_least=True)
    run.figures.append(Figure(f"{name}: recall@10", "%", _recall(found, run.exact), 100, recall))
    for kept in run.kept:
        load, found = _timed(run.queries, partial(search, filter=kept.filter))
        what = f"{kept.percent} % kept"
        run.figures += latencies(f"{name}: search, {what}", [load], [kept.exact_load])
        figure = Figure(f"{name}: recall@10, {what}", "%", _recall(found, kept.exact), 100, recall)
        run.figures.append(figure)
    with _writing(store, run):
        load, _ = _timed(run.queries, search)
    run.figures += latencies(f"{name}: search while writing", [load], [exact], target=target)


@contextmanager
def _writing(store: QdrantVectorStore, run: Run) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=keep_writing, args=(store, MODEL, run.vectors, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _spec(dimension: int, name: str = "") -> CollectionSpec:
    clip = COLLECTIONS[VectorKind.CLIP]
    return CollectionSpec(name or clip.name, dimension, clip.indexes)


@contextmanager
def _edge(folder: Path) -> Iterator[EdgeEngine]:
    engine = EdgeEngine(folder / "store" / "vectors")
    try:
        yield engine
    finally:
        engine.close()


def _measure_opening(run: Run, folder: Path, dimension: int) -> None:
    command = [sys.executable, __file__, f"--dim={dimension}", f"--open={folder / 'store' / 'vectors'}"]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    run.figures += [
        Figure("open: until the first answer", "s", told["seconds"]),
        Figure("open: memory it took", "MiB", told["mebibytes"], run.vectors.nbytes / 2**20),
    ]


def _open(folder: Path, dimension: int) -> int:
    before = _resident_mebibytes()
    began = time.monotonic()
    engine = EdgeEngine(folder)
    store = QdrantVectorStore(engine, _spec(dimension), lambda: MODEL)
    query = np.random.default_rng(1).standard_normal(dimension).astype(np.float32)
    assert store.search(query, model=MODEL, limit=NEAREST)
    seconds = time.monotonic() - began
    for _ in range(QUERIES):
        query = np.random.default_rng(1).standard_normal(dimension).astype(np.float32)
        store.search(query, model=MODEL, limit=NEAREST)
    after = _resident_mebibytes()
    engine.close()
    print(json.dumps({"seconds": seconds, "mebibytes": after - before}))
    return 0


def _resident_mebibytes() -> float:
    """Pages of the files that are mapped count as well, as far as they were touched."""
    return servers.Server(0, os.getpid(), "").memory() / 2**20


def _measure_server(run: Run, dimension: int) -> None:
    url = os.environ.get("QDRANT_TEST_URL")
    if not url:
        run.notes.append("server: left out, QDRANT_TEST_URL names none.")
        return
    from vectors.engines.server import ServerEngine  # noqa: PLC0415  (only where it is asked for)

    engine = ServerEngine.create(VectorSettings(path=Path(), url=url, timeout_seconds=60))
    spec = _spec(dimension, f"benchmark-{uuid.uuid4().hex}")
    try:
        began = time.monotonic()
        _write_all(store := _store(engine, spec), run.vectors)
        run.figures.append(Figure("server: all written", "s", time.monotonic() - began))
        _measure_engine(run, "server", store)
        run.notes.append("server: it indexes by itself, and may not have been through when it was searched.")
    finally:
        for name in engine.collections():
            if name.startswith(spec.name):
                engine.drop(name)
        engine.close()


# --- The endpoint ---


def _write_rows(folder: Path, number: int) -> None:
    database = folder / "store" / "store.db"
    rows.fill_store(database, first=1, last=number)
    with sqlite3.connect(database) as connection:
        connection.execute(
            "INSERT INTO intelligence_modelversion (task_type, model, state, asked_up_to, updated_at) "
            "VALUES ('clip_embedding', ?, 'current', 0, '2026-01-01 00:00:00')",
            (MODEL,),
        )
    connection.close()


def _measure_endpoint(run: Run, folder: Path, options: Namespace) -> None:
    drawn = random.Random(0).sample(range(2, options.n), QUERIES)
    path = f"/intelligence/entities/%d/similar?limit={NEAREST}&score_threshold=0"
    calls = [Call(path % number) for number in drawn]
    target = Target(10 if options.n <= 100_000 else 25, of_ratio=False)
    size = str(options.dim)
    with servers.store_alone(folder, CLIP_VECTOR_SIZE=size) as server:
        load = _asked(server, calls)
        memory = server.memory() / 2**20
    run.figures += latencies("endpoint", [load], [run.exact_load], target=target)
    run.figures.append(Figure("endpoint: the server's memory", "MiB", memory, run.vectors.nbytes / 2**20))
    with servers.store_that_writes(folder, MODEL, folder / VECTORS, CLIP_VECTOR_SIZE=size) as server:
        load = _asked(server, calls)
    run.figures += latencies("endpoint while writing", [load], [run.exact_load], target=target)


def _asked(server: servers.Server, calls: Sequence[Call]) -> Load:
    with Clients(1) as clients:
        clients.alone(server.port, calls[:10])
        return clients.alone(server.port, calls)


if __name__ == "__main__":
    sys.exit(main())
