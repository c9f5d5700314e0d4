from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from intelligence.compute.base import UnknownJobError
from intelligence.compute.spool import JobRequest, Spool, is_job_id
from intelligence.vocabulary import TaskType

REQUEST = JobRequest(TaskType.CLIP_EMBEDDING, Path("/media/a.jpg"), {"normalize": True})
OTHER = JobRequest(TaskType.CLIP_EMBEDDING, Path("/media/b.jpg"), {"normalize": True})


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def files_of(tmp_path: Path, job_id: str) -> list[Path]:
    return sorted((tmp_path / "spool").glob(f"*/{job_id}.*"))


def test_request_comes_back(spool: Spool) -> None:
    spool.add("1", REQUEST)
    assert spool.request("1") == REQUEST
    assert spool.outcome("1") is None


@pytest.mark.parametrize("text", ["", ".", "..", "a/b", "../a", "a.b", "a\n", "a" * 65, "é", "a b", "\0"])
def test_names_that_could_leave_the_spool_are_no_job_ids(spool: Spool, text: str) -> None:
    assert not is_job_id(text)
    with pytest.raises(UnknownJobError):
        spool.add(text, REQUEST)


def test_first_outcome_stays(spool: Spool) -> None:
    spool.add("1", REQUEST)
    spool.finish("1", b"first")
    spool.finish("1", b"second")
    assert spool.outcome("1") == b"first"


def test_adding_again_keeps_the_outcome(spool: Spool) -> None:
    spool.add("1", REQUEST)
    spool.finish("1", b"x")
    spool.add("1", REQUEST)
    assert spool.outcome("1") is not None


def test_who_adds_the_same_at_the_same_time_takes_no_outcome_away(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is held up where it has seen that the job is not there yet, and clears its place."""
    discard = spool.discard
    passed_by = threading.Event()

    def add_and_run() -> None:
        monkeypatch.setattr(spool, "discard", discard)
        spool.add("1", REQUEST)
        spool.finish("1", b"x")
        passed_by.set()

    other = threading.Thread(target=add_and_run)

    def held_up(job_id: str) -> None:
        other.start()
        passed_by.wait(0.5)
        discard(job_id)

    monkeypatch.setattr(spool, "discard", held_up)
    spool.add("1", REQUEST)
    other.join()
    assert spool.outcome("1") == b"x"


def test_job_left_over_from_another_installation_makes_way(spool: Spool) -> None:
    spool.add("1", OTHER)
    spool.finish("1", b"x")
    spool.add("1", REQUEST)
    assert spool.request("1") == REQUEST
    assert spool.outcome("1") is None


def test_outcome_of_a_forgotten_job_is_dropped(spool: Spool, tmp_path: Path) -> None:
    spool.add("1", REQUEST)
    spool.discard("1")
    spool.finish("1", b"x")
    with pytest.raises(UnknownJobError):
        spool.outcome("1")
    assert not files_of(tmp_path, "1")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"task": "cook", "image": "a", "params": {}}', b"[1]", b"\xff"]
)
def test_unreadable_request_is_forgotten_and_can_be_made_again(
    spool: Spool, tmp_path: Path, content: bytes
) -> None:
    spool.add("1", REQUEST)
    (request,) = files_of(tmp_path, "1")
    request.write_bytes(content)
    with pytest.raises(UnknownJobError):
        spool.request("1")
    spool.add("1", REQUEST)
    assert spool.request("1") == REQUEST


def test_crash_while_writing_leaves_nothing(
    spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.add("1", REQUEST)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", crash)
        with pytest.raises(KeyboardInterrupt):
            spool.finish("1", b"x")
    assert spool.outcome("1") is None
    spool.finish("1", b"x")
    assert spool.outcome("1") is not None


def test_outcome_of_a_job_forgotten_while_it_is_written_is_no_outcome(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor of a job that is asked for under the same id later."""
    spool.add("1", REQUEST)
    write = Path.write_bytes

    def late(path: Path, data: bytes) -> int:
        spool.discard("1")
        return write(path, data)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", late)
        spool.finish("1", b"x")
    with pytest.raises(UnknownJobError):
        spool.outcome("1")
    spool.add("1", REQUEST)
    assert spool.outcome("1") is None


def test_purge_removes_what_is_old_and_what_the_dead_left(spool: Spool, tmp_path: Path) -> None:
    for job_id in ("old", "waits", "new", "ended"):
        spool.add(job_id, REQUEST)
    (request,) = files_of(tmp_path, "new")
    left = request.with_name("dead.request.1-2.part")
    left.touch()
    for path in (tmp_path / "spool").glob("*/*.*"):
        if path != request:
            os.utime(path, (time.time() - 7200,) * 2)
    spool.finish("ended", b"just now")
    assert spool.purge(timedelta(hours=1), {"waits"}.intersection) == 2
    assert spool.request("new") == spool.request("waits") == spool.request("ended") == REQUEST
    assert not files_of(tmp_path, "old")
    assert not left.exists()


def test_purge_of_a_spool_that_was_never_used(spool: Spool) -> None:
    assert spool.purge(timedelta(), {"waits"}.intersection) == 0


def test_jobs_are_spread_over_folders(spool: Spool, tmp_path: Path) -> None:
    for number in range(100):
        spool.add(str(number), REQUEST)
    assert len(list((tmp_path / "spool").iterdir())) > 80
