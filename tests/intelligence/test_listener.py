"""The ear at the compute service: what it passes on, and what it does not fall over."""

from __future__ import annotations

import json
import signal
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from django.db import OperationalError
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from intelligence import hints, listener
from intelligence.listener import MOST_WAITING, ComputeListener, Inbox, read_event
from intelligence.mqtt import Broker
from intelligence.vocabulary import JobStatus, TaskType
from tests.deployment import own_redis_database
from tests.factories import make_job, make_photo
from tests.mqtt import BROKER, BROKER_PORT
from tests.processes import Manage, wait_until

OURS = "0d018e01-3724-44fd-8404-9ea3d32b016e"


def event(job_id: str = OURS, kind: str = "completed") -> bytes:
    said = {"job_id": job_id, "event_type": kind, "timestamp": 1795367748942, "progress": 0}
    return json.dumps(said).encode()


@pytest.mark.parametrize("kind", ["processing", "completed", "error", "failed", "a new word"])
def test_whatever_may_be_news_is_passed_on(kind: str) -> None:
    assert read_event(event(kind=kind)) == OURS


@pytest.mark.parametrize(
    "payload",
    [
        event(kind="queued"),  # that we know
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"[" * 4000,
        b'{"job_id": 5}',
        b'{"job_id": null}',
        b'{"job_id": {"job_id": 1}}',
        event("../../etc"),
        event("a" * 65),
        event("a\0b"),
        event() + b" " * 5000,
    ],
)
def test_junk_is_not(payload: bytes) -> None:
    assert read_event(payload) is None


def test_an_id_that_comes_again_and_again_is_taken_once() -> None:
    inbox = Inbox()
    for job_id in ("one", "two", "one", "one"):
        inbox.put(job_id)
    assert inbox.take() == ["one", "two"]


def test_an_id_that_was_asked_about_waits_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is put off, not dropped: it may be another event."""
    monkeypatch.setattr(listener, "AGAIN_AFTER_SECONDS", 0.2)
    inbox = Inbox()
    inbox.note_asked("one")
    inbox.put("one")
    inbox.put("two")
    assert inbox.take() == ["two"]
    assert inbox.take() == ["one"]


def test_a_flood_is_bounded() -> None:
    inbox = Inbox()
    for number in range(MOST_WAITING + 5):
        inbox.put(str(number))
    assert inbox.dropped == 5
    assert len(inbox._waiting) == MOST_WAITING
    assert inbox.take()[0] == "0"


def test_a_closed_inbox_lets_go() -> None:
    inbox = Inbox()
    inbox.close()
    assert inbox.take() == []


# --- At the real broker -----------------------------------------------------------------------------------


@pytest.fixture
def topic() -> str:
    return f"tests/{uuid.uuid4().hex}/events"


@pytest.fixture
def publisher() -> Iterator[Client]:
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.connect(BROKER, BROKER_PORT)
    client.loop_start()
    yield client
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs that workers were asked to look at."""
    asked: list[str] = []
    monkeypatch.setattr(hints, "finish_jobs", asked.extend)
    return asked


@pytest.fixture
def ear(topic: str, asked: list[str]) -> Iterator[ComputeListener]:
    ear = ComputeListener(Broker(BROKER, BROKER_PORT), topic=topic)
    ear.start()
    wait_until(lambda: ear._connection.is_up)
    yield ear
    ear.stop()
    assert not ear._thread.is_alive()


def make_our_job(job_id: str = OURS) -> None:
    make_job(make_photo(1), TaskType.CLIP_EMBEDDING, JobStatus.QUEUED, job_id=job_id)


@pytest.mark.services("mosquitto")
@pytest.mark.django_db(transaction=True)
def test_only_our_jobs_are_asked_about(
    ear: ComputeListener, publisher: Client, topic: str, asked: list[str]
) -> None:
    make_our_job()
    for payload in (b"junk", b"", event("somebody-elses"), event(kind="queued"), event()):
        publisher.publish(topic, payload, 1)
    wait_until(lambda: asked == [OURS])


@pytest.mark.services("mosquitto")
@pytest.mark.django_db(transaction=True)
def test_an_event_may_be_faster_than_the_id_is_written_down(
    ear: ComputeListener, publisher: Client, topic: str, asked: list[str]
) -> None:
    publisher.publish(topic, event(), 1)
    wait_until(lambda: OURS in ear._unknown)
    make_our_job()
    wait_until(lambda: asked == [OURS])


@pytest.mark.services("mosquitto")
@pytest.mark.django_db(transaction=True)
def test_an_unknown_job_is_looked_up_twice_and_forgotten(
    ear: ComputeListener, publisher: Client, topic: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "AGAIN_AFTER_SECONDS", 0.05)
    looks: list[list[str]] = []
    ask_for = ear._ask_for

    def look(heard: list[str]) -> None:
        looks.append(heard)
        ask_for(heard)

    monkeypatch.setattr(ear, "_ask_for", look)
    publisher.publish(topic, event("somebody-elses"), 1)
    wait_until(lambda: len(looks) == 2 and not ear._unknown)
    publisher.publish(topic, event("the-last"), 1)
    wait_until(lambda: len(looks) == 4)
    assert looks == [["somebody-elses"]] * 2 + [["the-last"]] * 2
    assert asked == []


@pytest.mark.services("mosquitto")
@pytest.mark.django_db(transaction=True)
def test_a_flood_of_one_event_asks_seldom(
    ear: ComputeListener, publisher: Client, topic: str, asked: list[str]
) -> None:
    make_our_job()
    for _ in range(500):
        publisher.publish(topic, event(), 0)
    make_job(make_photo(2), TaskType.CLIP_EMBEDDING, JobStatus.QUEUED, job_id="the-last")
    publisher.publish(topic, event("the-last"), 1)
    wait_until(lambda: "the-last" in asked)
    assert asked.count(OURS) <= 3


@pytest.mark.services("mosquitto")
@pytest.mark.django_db(transaction=True)
def test_events_wait_for_the_database(
    ear: ComputeListener, publisher: Client, topic: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_our_job()
    monkeypatch.setattr(listener, "PAUSE_SECONDS", 0.05)
    failures = iter([OperationalError("away"), OperationalError("still away")])
    ask_for = ear._ask_for

    def ask(heard: list[str]) -> None:
        for failure in failures:
            raise failure
        ask_for(heard)

    monkeypatch.setattr(ear, "_ask_for", ask)
    publisher.publish(topic, event(), 1)
    wait_until(lambda: asked == [OURS])


NOBODY = "redis://127.0.0.1:9/0"


def configured(**env: str) -> dict[str, str]:
    service = {"COMPUTE_SERVICE_URL": "http://127.0.0.1:9", "QDRANT_URL": "http://127.0.0.1:9"}
    return {**service, "MQTT_BROKER": BROKER, "CELERY_BROKER_URL": NOBODY, **env}


@pytest.mark.services("mosquitto", "redis")
def test_the_command(manage: Manage, publisher: Client) -> None:
    """Asks workers over the broker, and ends when it is told to."""
    manage("migrate", **configured())
    with own_redis_database() as url:
        _hears_and_asks(manage, publisher, url)


def _hears_and_asks(manage: Manage, publisher: Client, url: str) -> None:
    program = (
        "from tests.factories import *; "
        f"make_job(make_photo(), TaskType.CLIP_EMBEDDING, JobStatus.QUEUED, job_id='{OURS}')"
    )
    assert manage("shell", "-c", program, **configured()).returncode == 0
    queue: Any = redis.Redis.from_url(url)
    with manage.started("compute_listener", **configured(CELERY_BROKER_URL=url)) as process:
        wait_until(lambda: publish_and_count(publisher, queue) > 0)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0, output
    assert OURS in str(queue.lrange("callbacks", 0, 0))
    queue.close()


def publish_and_count(publisher: Client, queue: Any) -> int:
    """Again and again: what is said before the listener listens is lost."""
    publisher.publish(listener.TOPIC, event(), 1)
    return int(queue.llen("callbacks"))


@pytest.mark.parametrize("missing", ["COMPUTE_SERVICE_URL", "MQTT_BROKER", "CELERY_BROKER_URL"])
def test_the_command_says_what_is_missing(manage: Manage, missing: str) -> None:
    refused = manage("compute_listener", **configured(**{missing: ""}))
    assert refused.returncode == 1
    assert f"CommandError: {missing} is empty" in refused.stderr
