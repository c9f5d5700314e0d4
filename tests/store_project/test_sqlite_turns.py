"""Writers of one process take turns, in the order in which they came; and no turn is ever lost.

How processes take turns is in test_sqlite_door.py.
"""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections, transaction

from store_project.config import BASE_DIR
from store_project.sqlite import turns
from store_project.sqlite.base import DatabaseWrapper
from store_project.sqlite.door import Door
from store_project.sqlite.turns import Turns, TurnTimeoutError, turns_of

ALIAS = "turns"
SECONDS = 20


class Owner:
    pass


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "LOOK_SECONDS", 0.02)


@pytest.fixture
def queue(tmp_path: Path) -> Turns:
    return Turns(Door(str(tmp_path / "queue.db")))


@contextmanager
def another_thread_has_it(queue: Turns) -> Iterator[None]:
    taken, done = threading.Event(), threading.Event()

    def hold(owner: Owner) -> None:
        turn = queue.take(owner, timeout=SECONDS)
        taken.set()
        done.wait(SECONDS)
        assert turn is not None
        queue.give_back(turn)

    thread = threading.Thread(target=hold, args=[Owner()])
    thread.start()
    taken.wait(SECONDS)
    yield
    done.set()
    thread.join()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# --- The queue --------------------------------------------------------------------------------------------


def test_first_come_first_served(queue: Turns) -> None:
    served = []

    def wait_and_serve(number: int) -> None:
        owner = Owner()
        turn = queue.take(owner, timeout=SECONDS)
        served.append(number)
        assert turn is not None
        queue.give_back(turn)

    with ThreadPoolExecutor(20) as pool, another_thread_has_it(queue):
        for number in range(20):
            pool.submit(wait_and_serve, number)
            wait_until(lambda length=number + 2: len(queue._queue) == length)  # type: ignore[misc]

    assert served == list(range(20))
    assert not queue._queue


def test_whoever_gives_up_leaves_the_queue(queue: Turns) -> None:
    owner = Owner()
    with another_thread_has_it(queue), pytest.raises(TurnTimeoutError):
        queue.take(owner, timeout=0.05)

    assert not queue._queue


def test_a_thread_does_not_wait_for_itself(queue: Turns) -> None:
    first, second = Owner(), Owner()

    turn = queue.take(first, timeout=SECONDS)

    assert turn is not None
    assert queue.take(second, timeout=SECONDS) is None
    queue.give_back(turn)
    assert not queue._queue


def test_a_turn_ends_with_its_thread(queue: Turns) -> None:
    owner = Owner()
    thread = threading.Thread(target=queue.take, args=[owner], kwargs={"timeout": SECONDS})
    thread.start()
    thread.join()

    assert queue.take(owner, timeout=SECONDS) is not None
    assert len(queue._queue) == 1


def test_a_turn_ends_with_its_connection(queue: Turns) -> None:
    owner = Owner()
    lives = threading.Event()

    def forget() -> None:
        queue.take(Owner(), timeout=SECONDS)
        lives.wait(SECONDS)

    thread = threading.Thread(target=forget)
    thread.start()
    wait_until(lambda: len(queue._queue) == 1)

    assert queue.take(owner, timeout=SECONDS) is not None
    lives.set()
    thread.join()


# --- The connections that queue ---------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    path = tmp_path / "turns.db"
    options = {"timeout": 0.3, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA synchronous=OFF"}
    connections.settings[ALIAS] = {
        **connections.configure_settings({"default": {}})["default"],
        "ENGINE": "store_project.sqlite",
        "NAME": path,
        "OPTIONS": options,
    }
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE notes (text)")
    database.close()
    with django_db_blocker.unblock():  # it is no database of Django's tests
        yield path
        connections[ALIAS].close()
    del connections[ALIAS]
    del connections.settings[ALIAS]


def queue_of(path: Path) -> Turns:
    return turns_of(str(path))


def note(text: str) -> None:
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("INSERT INTO notes VALUES (%s)", [text])


def notes(path: Path) -> list[str]:
    database = sqlite3.connect(path)
    try:
        return [text for (text,) in database.execute("SELECT text FROM notes")]
    finally:
        database.close()


def commit(path: Path) -> None:
    with transaction.atomic(ALIAS):
        note("outer")
        assert queue_of(path)._queue[0].is_mine()
        with transaction.atomic(ALIAS):
            note("inner")
        assert queue_of(path)._queue[0].is_mine()


def fail(path: Path) -> None:
    with suppress(ValueError), transaction.atomic(ALIAS):
        note("never")
        raise ValueError


def fail_inside(path: Path) -> None:
    with transaction.atomic(ALIAS):
        note("outer")
        fail(path)
        assert queue_of(path)._queue[0].is_mine()


def close_inside(path: Path) -> None:
    with suppress(transaction.TransactionManagementError), transaction.atomic(ALIAS):
        note("never")
        connections[ALIAS].close()


def write_alone(path: Path) -> None:
    note("alone")
    with connections[ALIAS].cursor() as cursor:
        cursor.executemany("UPDATE notes SET text = %s", [["changed"]])


def fail_alone(path: Path) -> None:
    with suppress(OperationalError), connections[ALIAS].cursor() as cursor:
        cursor.execute("INSERT INTO nothing VALUES (1)")


def be_interrupted_in_commit(path: Path) -> None:
    connections[ALIAS].ensure_connection()
    interrupt = pytest.MonkeyPatch()
    interrupt.setattr(connections[ALIAS], "_commit", _interrupted)
    with suppress(KeyboardInterrupt), transaction.atomic(ALIAS):
        note("outer")
    interrupt.undo()


def _interrupted() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("use", "kept"),
    [
        (commit, ["outer", "inner"]),
        (fail, []),
        (fail_inside, ["outer"]),
        (close_inside, []),
        (write_alone, ["changed"]),
        (fail_alone, []),
        (be_interrupted_in_commit, ["outer"]),
    ],
)
def test_no_turn_is_kept(path: Path, use: Callable[[Path], None], kept: list[str]) -> None:
    use(path)

    assert not queue_of(path)._queue
    assert notes(path) == kept


def test_a_second_connection_of_a_thread_is_told_that_it_is_locked(path: Path) -> None:
    """As ever; what must not happen is that it waits for itself."""
    second = connections[ALIAS].copy()
    with transaction.atomic(ALIAS):
        note("first")
        with pytest.raises(OperationalError, match="database is locked"), second.cursor() as cursor:
            cursor.execute("INSERT INTO notes VALUES ('second')")
    second.close()

    assert notes(path) == ["first"]
    assert not queue_of(path)._queue


def test_who_waits_for_too_long_is_told_that_it_is_locked(path: Path) -> None:
    with another_thread_has_it(queue_of(path)), pytest.raises(OperationalError, match="database is locked"):
        note("never")

    note("now")
    assert notes(path) == ["now"]


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN"])
def test_another_process_is_waited_for(path: Path, begin: str) -> None:
    """It does not queue; SQLite is asked, and waits."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute(begin)
    database.execute("INSERT INTO notes VALUES ('other')")
    ending = threading.Timer(0.05, database.commit)
    ending.start()

    commit(path)

    ending.join()
    database.close()
    assert notes(path) == ["other", "outer", "inner"]


WRITING_WITHOUT_A_PAUSE = """
import sys, time, django
from django.conf import settings
options = {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA synchronous=OFF"}
database = {"ENGINE": "store_project.sqlite", "NAME": sys.argv[1], "OPTIONS": options}
settings.configure(DATABASES={"default": database})
django.setup()
from django.db import connection, transaction
for _ in range(100):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO notes VALUES ('other')")
        time.sleep(0.1)
"""


def test_another_process_that_writes_without_a_pause_lets_others_in(path: Path) -> None:
    connections[ALIAS].settings_dict["OPTIONS"]["timeout"] = SECONDS
    command = [sys.executable, "-c", WRITING_WITHOUT_A_PAUSE, str(path)]
    with subprocess.Popen(command, cwd=BASE_DIR) as process:
        wait_until(lambda: bool(notes(path)))
        passed = []
        for _ in range(3):
            before = len(notes(path))
            with transaction.atomic(ALIAS):
                passed.append(len(notes(path)) - before)
                note("mine")
        process.kill()

    assert max(passed) <= 3, "one that was inside, and what came before we had asked"


def test_many_writers(path: Path) -> None:
    connections[ALIAS].settings_dict["OPTIONS"]["timeout"] = SECONDS

    def write(number: int) -> None:
        for _ in range(10):
            if number % 2:
                commit(path)
            else:
                note("alone")
        connections[ALIAS].close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))

    assert sorted(notes(path)) == ["alone"] * 40 + ["inner"] * 40 + ["outer"] * 40
    assert not queue_of(path)._queue


def test_the_store_writes_through_it(settings: Any) -> None:
    if "sqlite" in settings.DATABASES["default"]["ENGINE"]:
        assert isinstance(connections["default"], DatabaseWrapper)
