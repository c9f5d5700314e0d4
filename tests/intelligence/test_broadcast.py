"""One process that tells the real broker, and several that do so at once."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest

from intelligence.broadcast import MOST_NOTES, Broadcaster, Topics
from intelligence.mqtt import Broker
from intelligence.statuses import Clearing, State
from tests.mqtt import BROKER, BROKER_PORT, Gate, kept, listening, own_topic_port
from tests.processes import wait_until

pytestmark = pytest.mark.services("mosquitto")


@dataclass
class Rows:
    """What is true, instead of a database."""

    words: dict[int, str] = field(default_factory=dict)
    after_reading: Callable[[], object] = lambda: None

    def read(self, subjects: Collection[int]) -> dict[int, State]:
        states: dict[int, State] = {
            pk: {"status": self.words[pk]} if pk in self.words else None for pk in subjects
        }
        self.after_reading()
        return states


class NothingToClear(Clearing):
    def prepare(self) -> None:
        pass


Start = Callable[..., Broadcaster]


@pytest.fixture
def topics() -> Iterator[Topics]:
    with own_topic_port() as port:
        yield Topics(port)


@pytest.fixture
def start(topics: Topics) -> Iterator[Start]:
    """Starts one more process's broadcaster."""
    with ExitStack() as stack:

        def start(rows: Rows, *, port: int = BROKER_PORT, **options: Any) -> Broadcaster:
            usual = {"speaks_for_worker": False, "read": rows.read, "clearing": NothingToClear()}
            broadcaster = Broadcaster(Broker(BROKER, port), topics, **{**usual, **options})
            broadcaster.start()
            stack.callback(broadcaster.stop, grace_seconds=0.2)
            return broadcaster

        yield start


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.shut()


def test_it_works(topics: Topics, start: Start) -> None:
    broadcaster = start(Rows({7: "processing"}))
    with listening(topics.items) as listener:
        broadcaster.item(7, "abc", 5)
        broadcaster.entities([7])
        wait_until(lambda: listener.of(topics.items) == [{"id": 7, "md5": "abc", "timestamp": 5}])
        wait_until(lambda: kept(topics.entity(7)) != [])
    (said,) = kept(topics.entity(7))
    assert said["status"] == "processing"
    assert kept(topics.items) == []


def test_what_nobody_shall_read_any_more_is_taken_back(topics: Topics, start: Start) -> None:
    rows = Rows({7: "completed"})
    broadcaster = start(rows)
    broadcaster.entities([7])
    wait_until(lambda: kept(topics.entity(7)) != [])
    del rows.words[7]
    broadcaster.entities([7])
    wait_until(lambda: kept(topics.entity(7)) == [])


def test_the_later_truth_is_kept_whoever_publishes_last(topics: Topics, start: Start) -> None:
    """One process reads, and is held up until another has published what has changed meanwhile."""
    slow_has_read, may_go_on = threading.Event(), threading.Event()

    def hold_up() -> None:
        slow_has_read.set()
        assert may_go_on.wait(10)

    slow_rows, quick_rows = Rows({7: "processing"}, hold_up), Rows({7: "completed"})
    slow, quick = start(slow_rows), start(quick_rows)
    with listening(topics.entity(7)) as listener:
        slow.entities([7])
        assert slow_has_read.wait(10)
        slow_rows.words = quick_rows.words  # it changes, and the other process is the one to tell
        quick.entities([7])
        wait_until(lambda: len(listener.heard) == 1)
        may_go_on.set()
        wait_until(lambda: len(listener.heard) == 3)

    words = [said["status"] for said in listener.of(topics.entity(7))]
    assert words == ["completed", "processing", "completed"]
    assert [said["status"] for said in kept(topics.entity(7))] == ["completed"]


def test_a_broker_that_is_away_holds_nobody_up(
    start: Start, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    broadcaster = start(Rows(), port=gate.port)
    began = time.perf_counter()
    for pk in range(1, MOST_NOTES + 2000):
        broadcaster.entities([pk])
        broadcaster.item(pk, "abc", 5)
    assert time.perf_counter() - began < 2  # of 24,000 notes; a wait for each would take longer
    assert len(broadcaster._items) + len(broadcaster._subjects) == MOST_NOTES
    assert [record.message for record in caplog.records if "not told" in record.message] == [
        "The MQTT broker is away or slow: what changes from now on is not told to it."
    ]
    began = time.perf_counter()
    broadcaster.stop()
    assert time.perf_counter() - began < 1


def test_a_broker_that_does_not_answer_holds_nobody_up(topics: Topics, start: Start, gate: Gate) -> None:
    gate.open()
    broadcaster = start(Rows({7: "processing"}), port=gate.port)
    broadcaster.entities([7])
    wait_until(lambda: kept(topics.entity(7)) != [])
    gate.is_deaf = True
    began = time.perf_counter()
    for pk in range(1, 1000):
        broadcaster.entities([pk])
    assert time.perf_counter() - began < 1
    broadcaster.stop(grace_seconds=0.2)
    assert time.perf_counter() - began < 5


def test_a_broker_that_comes_late_hears_what_is_true_by_then(
    topics: Topics, start: Start, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "intelligence")
    rows = Rows({7: "processing"})
    broadcaster = start(rows, port=gate.port)
    broadcaster.entities([7])
    wait_until(lambda: any("is away" in record.message for record in caplog.records))
    rows.words[7] = "completed"
    gate.open()
    wait_until(lambda: [said["status"] for said in kept(topics.entity(7))] == ["completed"])
    assert len([record for record in caplog.records if "is away" in record.message]) == 1


def test_a_connection_that_breaks_is_made_again(topics: Topics, start: Start, gate: Gate) -> None:
    gate.open()
    rows = Rows({7: "processing"})
    broadcaster = start(rows, port=gate.port)
    broadcaster.entities([7])
    wait_until(lambda: kept(topics.entity(7)) != [])
    gate.shut()
    rows.words[7] = "completed"
    broadcaster.entities([7])
    gate.open()
    wait_until(lambda: [said["status"] for said in kept(topics.entity(7))] == ["completed"])


@pytest.mark.django_db(transaction=True)
def test_it_is_heard_when_another_worker_says_offline(topics: Topics, start: Start) -> None:
    heard = threading.Event()
    start(Rows({0: "idle"}), speaks_for_worker=True, heard_offline=heard.set)
    wait_until(lambda: kept(topics.worker) != [])
    with listening(f"{topics.worker}/nothing") as other:
        other.client.publish(topics.worker, b"not json", 1)
        other.client.publish(topics.worker, b'["offline"]', 1)
        other.client.publish(topics.worker, b'{"status": "idle"}', 1)
        assert not heard.wait(0.3)
        other.client.publish(topics.worker, b'{"status": "offline"}', 1, retain=True)
        assert heard.wait(10)
