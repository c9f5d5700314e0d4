"""`/healthz` and `/readyz`: what they tell, to whom, and how long they may take."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery.signals import task_success
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from entities import tallies
from entities.guest_mode import set_guest_mode
from entities.models import Tally
from intelligence import mqtt_clock, tasks
from store_project import readiness
from store_project.probes import Finding, Probe, ask_all, unwell, well
from tests.tokens import bearer, nobody

pytestmark = pytest.mark.django_db(transaction=True)  # the probes look through connections of their own


@pytest.fixture(autouse=True)
def fresh_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are shared for a second."""
    probes = {name: Probe(name, probe.look) for name, probe in readiness.PROBES.items()}
    monkeypatch.setattr(readiness, "PROBES", probes)
    # Whatever else this machine does; that it is bounded has tests of its own.
    monkeypatch.setattr(readiness.look, "__kwdefaults__", {"seconds": 30.0})


def parts() -> Any:
    return nobody().get("/readyz").json()["parts"]


def sweep(*, ago: timedelta = timedelta(0)) -> None:
    tallies.add_now("sweep", readiness.SWEEP)
    Tally.objects.update(updated_at=timezone.now() - ago)


def test_it_works() -> None:
    sweep()
    answer = nobody().get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert answer.headers["Cache-Control"] == "no-store"
    told = answer.json()["parts"]
    assert set(told) == {"database", "migrations", "broker", "vectors", "disk", "sweep", "mqtt"}
    assert {name for name, part in told.items() if part["needed"]} == {"database", "migrations"}
    assert all(part["is_well"] and part["age_seconds"] < 5 for part in told.values())
    assert {told["broker"]["word"], told["vectors"]["word"]} == {"embedded"}
    assert told["mqtt"]["word"] == "off"


@pytest.mark.parametrize("caller", [nobody(), bearer("x.y.z")], ids=["nobody", "a broken token"])
def test_everybody_may_ask(caller: Any) -> None:
    set_guest_mode(is_on=False, by=None)
    assert caller.get("/healthz").json() == {"status": "alive", "release": "0.1.0"}
    assert caller.get("/readyz").status_code == 200


def test_alive_asks_the_database_nothing(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert nobody().get("/healthz").status_code == 200


def test_a_migration_that_is_missing_closes_the_door() -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'entities' AND name = '0003_tallies'")
    try:
        answer = nobody().get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (503, "not ready")
        assert answer.json()["parts"]["migrations"]["word"] == "behind"
        assert "0003" not in answer.text
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO django_migrations (app, name, applied) VALUES ('entities', '0003_tallies', %s)",
                [timezone.now()],
            )


def test_a_disk_that_fills_up_is_told_and_closes_nothing() -> None:
    with override_settings(MIN_FREE_BYTES=2**62):
        answer = nobody().get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["parts"]["disk"] == {
        "word": "low",
        "is_well": False,
        "needed": False,
        "age_seconds": None,
    }


def test_the_clock_of_the_last_sweep() -> None:
    assert (parts()["sweep"]["word"], parts()["sweep"]["age_seconds"]) == ("never", None)


def test_a_sweep_that_is_overdue() -> None:
    sweep(ago=timedelta(minutes=10))
    told = parts()["sweep"]
    assert (told["word"], told["is_well"]) == ("overdue", False)
    assert 600 <= told["age_seconds"] < 620


@pytest.mark.parametrize(
    ("task", "found", "counted"),
    [("sweep_images", 3, [(1, 3.0)]), ("sweep_upkeep", None, [(1, 0.0)]), ("reconcile", None, [])],
)
def test_every_sweep_that_ends_is_noted(task: str, found: int | None, counted: list[Any]) -> None:
    name = f"intelligence.tasks.{task}"
    task_success.send(sender=vars(tasks)[task], result=found)
    assert list(Tally.objects.filter(kind="sweep", subject=name).values_list("number", "amount")) == counted


# --- MQTT: somebody is there, and those who need it are connected ---


@pytest.fixture
def mqtt_port() -> Iterator[int]:
    """Somebody takes connections there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        with override_settings(MQTT_BROKER="127.0.0.1", MQTT_PORT=port):
            yield port


def connected(name: str, *, ago: timedelta = timedelta(0)) -> None:
    tallies.add_now(mqtt_clock.KIND, name)
    Tally.objects.filter(subject=name).update(updated_at=timezone.now() - ago)


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_mqtt_is_well_while_its_announcer_is_connected(mqtt_port: int) -> None:
    assert (parts()["mqtt"]["word"], parts()["mqtt"]["age_seconds"]) == ("never", None)
    connected("announcer", ago=timedelta(seconds=20))
    found = readiness.look_at_mqtt()
    assert (found.word, found.is_well, found.detail) == ("ok", True, "connected: announcer")
    assert 20 <= (found.age_seconds or 0) < 30
    connected("announcer", ago=timedelta(minutes=2))
    found = readiness.look_at_mqtt()
    assert (found.word, found.is_well) == ("silent", False)
    assert "The announcer" in found.detail
    assert 120 <= (found.age_seconds or 0) < 130


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_a_compute_service_needs_its_listener_too(mqtt_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMPUTE_SERVICE_URL", "http://compute:8002")
    connected("announcer")
    found = readiness.look_at_mqtt()
    assert (found.word, found.detail) == ("never", "Has not been connected yet: listener.")
    connected("listener", ago=timedelta(minutes=2))
    assert "The listener" in readiness.look_at_mqtt().detail
    connected("listener")
    assert readiness.look_at_mqtt().is_well


@pytest.mark.allow_hosts(["127.0.0.1"])
def test_an_mqtt_broker_that_is_away_closes_nothing() -> None:
    connected("announcer")
    with override_settings(MQTT_BROKER="127.0.0.1", MQTT_PORT=1):
        answer = nobody().get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    told = answer.json()["parts"]["mqtt"]
    assert (told["word"], told["is_well"], told["needed"]) == ("away", False, False)


# --- In bounded time, whatever hangs ---


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    release = threading.Event()
    yield release
    release.set()


def test_what_hangs_is_named_in_time(stuck: threading.Event) -> None:
    looks: list[int] = []

    def hang() -> Finding:
        looks.append(1)
        stuck.wait(20)
        return well()

    probes = {"stuck": Probe("stuck", hang), "quick": Probe("quick", well)}
    start = time.monotonic()
    for _ in range(3):
        found = ask_all(probes, seconds=0.2)
    assert time.monotonic() - start < 2
    assert (found["stuck"].word, found["stuck"].is_well) == ("hangs", False)
    assert found["quick"].is_well
    assert looks == [1], "what hangs is not piled up"
    stuck.set()
    probes["stuck"].ask().result(5)
    assert ask_all(probes, seconds=0.2)["stuck"].is_well


def test_many_who_ask_at_once_are_answered_with_one_look(stuck: threading.Event) -> None:
    looks: list[int] = []

    def count() -> Finding:
        looks.append(1)
        stuck.wait(1)
        return well()

    probe = Probe("counted", count)
    asked = [probe.ask() for _ in range(50)]
    stuck.set()
    assert {future.result(5) for future in asked} == {well()}
    assert looks == [1]


def test_the_age_is_since_it_was_last_well(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [well(), unwell("away", "db.internal:5432 refuses")]
    probe = Probe("flapping", lambda: answers.pop(0))
    assert ask_all({"x": probe}, seconds=5)["x"].age_seconds == 0
    monkeypatch.setattr(probe, "_is_old", lambda: True)
    time.sleep(0.05)
    found = ask_all({"x": probe}, seconds=5)["x"]
    assert found.word == "away"
    assert found.age_seconds is not None
    assert found.age_seconds >= 0.05


def test_no_secrets_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = "could not connect to db.internal:5432 as store, password=hunter2"
    broken = Probe("database", lambda: unwell("away", told))
    monkeypatch.setattr(readiness, "PROBES", {**readiness.PROBES, "database": broken})
    answer = nobody().get("/readyz")
    assert answer.status_code == 503
    assert "hunter2" not in json.dumps(answer.json())
    assert "internal" not in answer.text
