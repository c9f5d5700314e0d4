"""The embedded engine: one process, many threads, and crashes."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.vectors.conftest import DIMENSION, MODEL, SPEC, OpenEdge, RunScript, points, store_on
from vectors import Filter, HasId, VectorsClosedError, VectorsCorruptError, VectorsInUseError
from vectors.collections import IndexType

KILLED = -signal.SIGKILL


def sub_folders(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.is_dir()]


def wait_until(done: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


# --- One process ---


def test_nothing_is_opened_before_the_first_use(open_edge: OpenEdge, tmp_path: Path) -> None:
    engine = open_edge()
    engine.close()
    assert not (tmp_path / "edge").exists()


def test_a_second_process_is_told_what_to_do(
    open_edge: OpenEdge, run_script: RunScript, tmp_path: Path
) -> None:
    store_on(open_edge()).upsert(points([1]), model=MODEL)
    refused = run_script("store_on(EdgeEngine(FOLDER)).count()").stderr.splitlines()[-1]
    for part in ("VectorsInUseError", str(tmp_path / "edge"), f"id {os.getpid()}", "set QDRANT_URL"):
        assert part in refused


def test_a_forked_process_is_refused_and_closes_nothing(
    open_edge: OpenEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_edge()
    store = store_on(engine)
    store.upsert(points([1]), model=MODEL)
    with monkeypatch.context() as in_the_child:
        in_the_child.setattr(os, "getpid", lambda: -1)
        with pytest.raises(VectorsInUseError):
            store.count()
        engine.close()
    assert store.count() == 1


def test_closing_is_final_and_may_be_repeated(open_edge: OpenEdge) -> None:
    engine = open_edge()
    store = store_on(engine)
    store.upsert(points([1]), model=MODEL)
    engine.close()
    engine.close()
    for use in (store.count, lambda: store.upsert(points([2]), model=MODEL)):
        with pytest.raises(VectorsClosedError, match="open them anew"):
            use()
    assert store_on(open_edge()).count() == 1


# --- Crashes ---


def test_unflushed_points_survive_kill_9(open_edge: OpenEdge, run_script: RunScript) -> None:
    killed = run_script(
        "import os\n"
        "store = store_on(EdgeEngine(FOLDER, flush_seconds=60))\n"
        "for id in range(3000): store.upsert(points([id]), model=MODEL)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert killed.returncode == KILLED, killed.stderr
    store = store_on(open_edge())
    assert [each.id for each in store.scroll()] == list(range(3000))
    assert len(store.fetch(range(3000))) == 3000


def test_what_was_flushed_needs_no_log(open_edge: OpenEdge, tmp_path: Path) -> None:
    engine = open_edge(flush_seconds=0.02)
    store_on(engine).upsert(points(range(500)), model=MODEL)
    shard = engine._keeper.shard(f"test__{MODEL}__{DIMENSION}")
    wait_until(lambda: not shard._changed)
    # What is on disk while it is open, but for the log.
    shutil.copytree(tmp_path / "edge", tmp_path / "copy", ignore=shutil.ignore_patterns("wal"))
    engine.close()
    shutil.rmtree(tmp_path / "edge")
    (tmp_path / "copy").rename(tmp_path / "edge")
    assert store_on(open_edge()).count() == 500


DIE = "lambda *args: os.kill(os.getpid(), 9)"


@pytest.mark.parametrize(
    "moment", ["edge._Shard.add_indexes", "VectorFolder.put", "Path.replace", "VectorFolder.point_alias"]
)
def test_a_crash_while_a_collection_is_made_heals(
    open_edge: OpenEdge, run_script: RunScript, tmp_path: Path, moment: str
) -> None:
    killed = run_script(
        "import os\n"
        "from vectors.engines import edge\n"
        "from vectors.engines.folder import VectorFolder\n"
        "engine = EdgeEngine(FOLDER)\n"
        "engine.collections()\n"
        f"{moment} = {DIE}\n"
        "store_on(engine).upsert(points([1]), model=MODEL)\n"
    )
    assert killed.returncode == KILLED, killed.stderr
    store = store_on(open_edge())
    store.upsert(points([2]), model=MODEL)
    assert (store.current_model(), set(store.fetch([2]))) == (MODEL, {2})
    assert len(sub_folders(tmp_path / "edge")) == 1


@pytest.mark.parametrize("moment", ["VectorFolder.put", "edge.remove"])
def test_a_crash_while_a_shard_is_exchanged_loses_nothing(
    open_edge: OpenEdge, run_script: RunScript, tmp_path: Path, moment: str
) -> None:
    killed = run_script(
        "import os, time\n"
        "from vectors.engines import edge\n"
        "from vectors.engines.folder import VectorFolder\n"
        "store = store_on(EdgeEngine(FOLDER, flush_seconds=0.02, index_after=300))\n"
        "store.upsert(points(range(300)), model=MODEL)\n"
        f"{moment} = {DIE}\n"
        "for id in range(300, 5000): store.upsert(points([id]), model=MODEL); print(id, flush=True)\n"
        "time.sleep(30)\n"
    )
    assert killed.returncode == KILLED, killed.stderr
    written = int(killed.stdout.split()[-1])
    found = {each.id for each in store_on(open_edge()).scroll()}
    assert found >= set(range(written + 1))
    assert len(sub_folders(tmp_path / "edge")) == 1


def test_rubbish_goes_and_what_is_not_ours_stays(open_edge: OpenEdge, tmp_path: Path) -> None:
    rubbish, foreign = tmp_path / "edge" / f"test__a__16.{'0' * 32}", tmp_path / "edge" / "notes"
    engine = open_edge()
    store_on(engine).upsert(points([1]), model=MODEL)
    engine.close()
    rubbish.mkdir()
    foreign.mkdir()
    assert store_on(open_edge()).count() == 1
    assert (rubbish.exists(), foreign.exists()) == (False, True)


def test_damage_is_told_and_deletes_nothing(open_edge: OpenEdge, tmp_path: Path) -> None:
    engine = open_edge()
    store_on(engine).upsert(points([1]), model=MODEL)
    engine.close()
    table = tmp_path / "edge" / "collections.json"
    whole = table.read_text()
    for damaged in ("", "{", "[]", '{"else": 1}'):
        table.write_text(damaged)
        with pytest.raises(VectorsCorruptError, match=r"collections\.json cannot be opened"):
            open_edge().collections()
    table.unlink()
    with pytest.raises(VectorsCorruptError, match="missing, but there are 1 collections"):
        open_edge().collections()
    table.write_text(whole)
    assert store_on(open_edge()).count() == 1


def lose(folder: Path) -> None:
    """At once: what writes to it would fill it again while it is emptied."""
    away = folder.rename(folder.with_name("lost"))
    shutil.rmtree(away, ignore_errors=True)


def put_another_in_its_place(folder: Path) -> None:
    folder.rename(folder.with_name("away"))
    folder.mkdir()


@pytest.mark.parametrize("how", [lose, put_another_in_its_place])
def test_a_folder_that_is_taken_away_while_it_is_used(
    open_edge: OpenEdge, tmp_path: Path, how: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """What is written next is there after a restart; that all else is lost, everybody sees at once."""
    engine = open_edge(flush_seconds=0.02)
    store = store_on(engine)
    store.upsert(points(range(10)), model=MODEL)
    how(tmp_path / "edge")
    wait_until(lambda: "taken away while they were in use" in caplog.text)

    assert (store.count(), store.search(points([1])[0].vector, model=MODEL, limit=1)) == (0, [])
    store.upsert(points([20]), model=MODEL)
    assert {each.id for each in store.scroll(model=MODEL)} == {20}
    engine.close()
    assert list(store_on(open_edge()).fetch([1, 20], model=MODEL)) == [20]


def test_a_shard_that_does_not_load_is_named(open_edge: OpenEdge, tmp_path: Path) -> None:
    engine = open_edge()
    store_on(engine).upsert(points([1]), model=MODEL)
    engine.close()
    (folder,) = sub_folders(tmp_path / "edge")
    (folder / "edge_config.json").write_text("{")
    with pytest.raises(VectorsCorruptError, match=rf"{folder.name} cannot be opened.*made again"):
        store_on(open_edge()).count()


# --- Threads ---


def test_many_threads_at_once(open_edge: OpenEdge) -> None:
    store = store_on(open_edge(flush_seconds=0.02, index_after=500))

    def work(worker: int) -> None:
        mine = range(worker * 1000, worker * 1000 + 300)
        for start in mine[::10]:
            batch = points(range(start, start + 10), seed=start)
            store.upsert(batch, model=MODEL)
            store.set_payload([start + 1], {"seen": worker})
            store.delete([start])
            hits = store.search(
                batch[1].vector, model=MODEL, limit=3, filter=Filter(must=(HasId(frozenset([start + 1])),))
            )
            assert [hit.id for hit in hits] == [start + 1]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    seen = {each.id: each.payload.get("seen") for each in store.scroll()}
    assert seen == {
        key: worker if key % 10 == 1 else None
        for worker in range(8)
        for key in range(worker * 1000, worker * 1000 + 300)
        if key % 10
    }


def test_an_index_added_to_the_table_is_made_for_what_is_there(open_edge: OpenEdge) -> None:
    engine = open_edge()
    store_on(engine).upsert(points([1]), model=MODEL)
    (name,) = engine.collections()
    engine.ensure(name, dimension=DIMENSION, indexes={**SPEC.indexes, "md5": IndexType.KEYWORD})
    info = engine._keeper.shard(name).read(lambda shard: shard.info())
    assert set(info.payload_schema) == {"entity_id", "md5"}
