"""Processes that write to one database file take turns.

Two doors in one process are as those of two: what the operating system locks are open files.
"""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from store_project.config import BASE_DIR
from store_project.sqlite import door
from store_project.sqlite.door import Door

SECONDS = 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def is_held(path: Path, what: str) -> bool:
    with Path(f"{path}-{what}").open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@contextmanager
def another_process(script: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, cwd=BASE_DIR, text=True, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def test_who_leaves_and_comes_again_stands_behind_who_waits(path: Path) -> None:
    busy, other, served = Door(str(path)), Door(str(path)), []

    def come_once() -> None:
        other.enter(timeout=SECONDS)
        served.append("other")
        other.leave()

    busy.enter(timeout=SECONDS)
    thread = threading.Thread(target=come_once)
    thread.start()
    wait_until(lambda: Path(f"{path}-next").exists() and is_held(path, "next"))
    busy.leave()
    busy.enter(timeout=SECONDS)
    served.append("busy")
    busy.leave()
    thread.join()

    assert served == ["other", "busy"]
    assert not is_held(path, "turn")
    assert not is_held(path, "next")


def test_who_hangs_inside_is_not_waited_for_for_long(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite is the judge then; and whoever goes in beside him does not let a third one in."""
    monkeypatch.setattr(door, "MOST_SECONDS", 0.02)
    hanging, other = Door(str(path)), Door(str(path))
    hanging.enter(timeout=SECONDS)

    began = time.monotonic()
    other.enter(timeout=SECONDS)
    assert time.monotonic() - began < SECONDS / 2
    other.leave()

    assert is_held(path, "turn")
    assert not is_held(path, "next")


ENTERING = """
import sys, time
from store_project.sqlite.door import Door
Door(sys.argv[1]).enter(timeout=5)
print("inside", flush=True)
time.sleep(60)
"""


def test_a_process_that_is_killed_leaves(path: Path) -> None:
    with another_process(ENTERING, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        assert is_held(path, "turn")
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert not is_held(path, "turn")


FORKING = """
import os, sys, time
from store_project.sqlite.turns import turns_of
class Owner: pass
owner, turns = Owner(), turns_of(sys.argv[1])
turn = turns.take(owner, timeout=5)
child = os.fork()
if child == 0:
    turns.give_back(turn)
    os._exit(0)
os.waitpid(child, 0)
print("waited", flush=True)
time.sleep(60)
"""


def test_a_forked_process_does_not_give_away_what_its_parent_has(path: Path) -> None:
    """As a connection does that it has inherited, and closes."""
    with another_process(FORKING, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waited\n"
        assert is_held(path, "turn")
