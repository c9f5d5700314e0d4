"""The search index is made in another process while this one goes on reading and writing."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.conftest import MODEL, OpenEdge, points, store_on
from tests.vectors.test_edge import KILLED, sub_folders, wait_until
from vectors import Filter, Match, QdrantVectorStore
from vectors.engines import edge, mirroring
from vectors.engines.edge import EdgeEngine, _Shard


def only_shard(engine: EdgeEngine) -> _Shard:
    (name,) = engine.collections()
    return engine._keeper.shard(name)


def indexed(engine: EdgeEngine) -> int:
    return only_shard(engine).read(lambda shard: shard.info()).indexed_vectors_count


def is_over(engine: EdgeEngine) -> bool:
    return engine._keeper._indexing is None


def test_writes_during_indexing_are_all_there_afterwards(open_edge: OpenEdge, tmp_path: Path) -> None:
    engine = open_edge(flush_seconds=0.02, index_after=2000)
    store = store_on(engine)
    store.upsert(points(range(2000)), model=MODEL)
    wait_until(lambda: not is_over(engine))
    before = indexed(engine)
    store.upsert(points(range(2000, 2100)), model=MODEL)
    replaced = points([5], seed=9)
    store.upsert(replaced, model=MODEL)
    store.delete(range(10, 20))
    store.set_payload([7], {"seen": 1})
    store.delete_by(Filter(must=(Match("seen", 1),)))
    store.set_payload([8], {"seen": 2})
    assert store.search(replaced[0].vector, model=MODEL, limit=1)[0].id == 5
    wait_until(lambda: is_over(engine) and indexed(engine) > 0)
    assert before == 0
    assert {each.id for each in store.scroll()} == set(range(2100)) - {7, *range(10, 20)}
    assert [each.id for each in store.scroll(Filter(must=(Match("seen", 2),)))] == [8]
    assert store.search(replaced[0].vector, model=MODEL, limit=1)[0].id == 5
    assert len(sub_folders(tmp_path / "edge")) == 1
    engine.close()
    assert store_on(open_edge()).count() == 2089


def test_what_is_written_at_the_last_moment_is_there_too(
    open_edge: OpenEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_on(engine := open_edge())
    store.upsert(points([1]), model=MODEL)
    repeat, rounds = edge._repeat, itertools.count(2)

    def repeat_and_write(operations: list[Any], fresh: Any) -> None:
        repeat(operations, fresh)
        if (key := next(rounds)) <= 3:
            store.upsert(points([key]), model=MODEL)

    shard, copy = only_shard(engine), tmp_path / "copy"
    shard.copy_to(copy)
    monkeypatch.setattr(edge, "FEW_NOTED", -1)
    monkeypatch.setattr(edge, "MOST_ROUNDS", 2)
    monkeypatch.setattr(edge, "_repeat", repeat_and_write)
    shard.catch_up(copy)
    store.upsert(points([4]), model=MODEL)
    shard.exchange(commit=lambda: None)
    assert [each.id for each in store.scroll()] == [1, 2, 3, 4]


def test_the_copy_is_what_the_shard_is_whatever_is_written_meanwhile(
    open_edge: OpenEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Into files that were copied already, too: of new points, of old ones, of payloads."""
    engine = open_edge(flush_seconds=0.02, index_after=2000)
    store = store_on(engine)
    store.upsert(points(range(2000)), model=MODEL)
    wait_until(lambda: is_over(engine) and indexed(engine) == 2000)
    shard, copy = only_shard(engine), tmp_path / "copy"
    follow, differences = mirroring.Mirror.follow, []

    def compare(mirror: mirroring.Mirror) -> None:
        is_ours = mirror._target == copy  # so much is written that the keeper may index it meanwhile
        before = _different(shard._path, copy) if is_ours else None
        follow(mirror)
        if before is not None:
            differences.extend([before, _different(shard._path, copy)])

    monkeypatch.setattr(mirroring, "TOO_FRESH_NANOSECONDS", 50_000_000)
    monkeypatch.setattr(mirroring.Mirror, "follow", compare)
    with _written_to(store):
        shard.copy_to(copy)
    assert differences[0]
    assert not differences[1]


@contextmanager
def _written_to(store: QdrantVectorStore) -> Iterator[None]:
    """New points, old ones, payloads; some go."""
    stop = threading.Event()

    def write() -> None:
        for turn in itertools.takewhile(lambda _: not stop.is_set(), itertools.count()):
            store.upsert(points(range(turn % 100, 3000, 100), seed=turn), model=MODEL)
            store.set_payload(range(turn, turn + 20), {"seen": turn})
            store.delete([turn % 2000])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _different(source: Path, target: Path) -> set[Path]:
    def content(folder: Path) -> dict[Path, bytes]:
        return {each.relative_to(folder): each.read_bytes() for each in folder.rglob("*") if each.is_file()}

    one, other = content(source), content(target)
    return {path for path in one.keys() | other.keys() if one.get(path) != other.get(path)}


def test_writers_wait_neither_for_the_copy_nor_for_what_is_repeated(
    open_edge: OpenEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_edge(flush_seconds=0.02, index_after=1000)
    store = store_on(engine)
    written: list[int] = []

    def during(step: Callable[..., Any]) -> Callable[..., Any]:
        """Another thread writes, makes the collection it finds, and is through before the step goes on."""

        def stepping(*arguments: Any) -> Any:
            key = 5000 + len(written)
            writer = threading.Thread(target=store.upsert, args=[points([key])], kwargs={"model": MODEL})
            writer.start()
            writer.join(timeout=5)
            if not writer.is_alive():
                written.append(key)
            return step(*arguments)

        return stepping

    monkeypatch.setattr(mirroring.Mirror, "copy_roughly", during(mirroring.Mirror.copy_roughly))
    monkeypatch.setattr(_Shard, "catch_up", during(_Shard.catch_up))
    store.upsert(points(range(1000)), model=MODEL)
    wait_until(lambda: is_over(engine) and indexed(engine) > 0)
    assert len(written) == 2
    assert {each.id for each in store.scroll()} == {*range(1000), *written}


def test_so_much_is_written_that_it_is_given_up_and_begun_anew(
    open_edge: OpenEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edge, "MOST_NOTED", 500)
    engine = open_edge(flush_seconds=0.02, index_after=1000)
    store = store_on(engine)
    store.upsert(points(range(1000)), model=MODEL)
    wait_until(lambda: not is_over(engine))
    store.upsert(points(range(1000, 1600)), model=MODEL)
    wait_until(lambda: is_over(engine) and len(sub_folders(tmp_path / "edge")) == 1)
    assert (indexed(engine), only_shard(engine)._noted) == (0, None)
    engine._keeper._index_not_before = 0
    wait_until(lambda: is_over(engine) and indexed(engine) == 1600)
    assert store.count() == 1600


def test_an_index_that_is_given_up_is_not_waited_for(
    open_edge: OpenEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endless = tmp_path / "endless"
    endless.write_text("#!/bin/sh\nexec sleep 1000\n")
    endless.chmod(0o700)
    monkeypatch.setattr("sys.executable", str(endless))
    monkeypatch.setattr(edge, "MOST_NOTED", 10)
    engine = open_edge(flush_seconds=0.02, index_after=100)
    store = store_on(engine)
    store.upsert(points(range(100)), model=MODEL)
    wait_until(lambda: not is_over(engine))
    _, run = engine._keeper._indexing or pytest.fail("it is over")
    store.upsert(points(range(100, 111)), model=MODEL)
    wait_until(lambda: is_over(engine), seconds=30)
    assert (run.process.returncode, len(sub_folders(tmp_path / "edge"))) == (KILLED, 1)
    assert store.count() == 111


def test_points_that_move_are_indexed_again(open_edge: OpenEdge) -> None:
    engine = open_edge(flush_seconds=0.02, index_after=1000)
    store = store_on(engine)
    store.upsert(points(range(1000)), model=MODEL)
    wait_until(lambda: is_over(engine) and indexed(engine) == 1000)
    shard = only_shard(engine)
    first = shard._path
    store.set_payload(Filter(must_not=(Match("entity_id", 77),)), {"hidden": 1})
    wait_until(lambda: shard._path != first)
    assert store.count(Filter(must=(Match("hidden", 1),))) == 1000


def test_a_failed_run_leaves_everything_as_it_was(
    open_edge: OpenEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    engine = open_edge(flush_seconds=0.02, index_after=100)
    store = store_on(engine)
    store.upsert(points(range(100)), model=MODEL)
    wait_until(lambda: "ended with status 1" in caplog.text and is_over(engine))
    shard = only_shard(engine)
    for key in range(100, 105):  # five more rounds
        store.upsert(points([key]), model=MODEL)
        wait_until(lambda: not shard._changed)
    assert (store.count(), indexed(engine), len(sub_folders(tmp_path / "edge"))) == (105, 0, 1)
    assert shard._noted is None
    assert is_over(engine)  # it rests before it tries again
    assert caplog.text.count("ended with status") == 1


def test_a_full_disk_stops_neither_writes_nor_flushes(
    open_edge: OpenEdge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(source: Path, target: Path) -> None:
        target.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    engine = open_edge(flush_seconds=0.02, index_after=100)
    store = store_on(engine)
    store.upsert(points(range(100)), model=MODEL)
    wait_until(lambda: "No space left" in caplog.text)
    store.upsert(points([1000]), model=MODEL)
    wait_until(lambda: not only_shard(engine)._changed)
    assert (store.count(), len(sub_folders(tmp_path / "edge"))) == (101, 1)


def test_dropping_or_closing_meanwhile(open_edge: OpenEdge, tmp_path: Path) -> None:
    engine = open_edge(flush_seconds=0.02, index_after=1000)
    store = store_on(engine)
    store.upsert(points([1]), model="first")
    store.upsert(points(range(1000)), model="second")
    wait_until(lambda: not is_over(engine))
    store.drop("second")
    store.upsert(points(range(1000, 2000)), model="second")  # the same name, but nothing of the old
    wait_until(lambda: is_over(engine))
    assert len(sub_folders(tmp_path / "edge")) == 2
    assert [each.id for each in store.scroll(model="second")] == list(range(1000, 2000))
    engine._keeper._index_not_before = 0
    wait_until(lambda: not is_over(engine))
    engine.close()
    assert not [
        thread for thread in threading.enumerate() if thread.name == "vectors-keeper" and thread.is_alive()
    ]
    assert store_on(open_edge()).count(model="second") == 1000
