"""That a connection to the MQTT broker stands is noted as long as it does, and no longer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from intelligence import mqtt_clock
from intelligence.listener import ComputeListener
from intelligence.mqtt import Broker
from intelligence.mqtt_clock import ANNOUNCER, LISTENER
from intelligence.presence import Presence
from tests.mqtt import BROKER, Gate, own_topic_port
from tests.processes import wait_until

pytestmark = [pytest.mark.services("mosquitto"), pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mqtt_clock, "NOTE_SECONDS", 0.1)
    monkeypatch.setattr(mqtt_clock, "LOOK_SECONDS", 0.02)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    gate.open()
    yield gate
    gate.shut()


def noted(name: str) -> datetime | None:
    return mqtt_clock.last_noted().get(name)


def noted_since(name: str, moment: datetime) -> bool:
    at = noted(name)
    return at is not None and at > moment


def test_while_the_listener_is_connected(gate: Gate) -> None:
    listener = ComputeListener(Broker(BROKER, gate.port))
    listener.start()
    try:
        wait_until(lambda: noted(LISTENER) is not None)
        wait_until(lambda: noted_since(LISTENER, timezone.now() - timedelta(seconds=0.05)))
        gate.shut()
        wait_until(lambda: not listener._connection.is_up)
        time.sleep(0.2)  # what was being noted
        last = noted(LISTENER)
        time.sleep(0.5)
        assert noted(LISTENER) == last
        gate.open()
        wait_until(lambda: last is not None and noted_since(LISTENER, last))
    finally:
        listener.stop()


def test_while_the_worker_can_announce(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broker, "configured", lambda: Broker(BROKER, gate.port))
    with own_topic_port() as port:
        presence = Presence(port)
        presence.start()
        try:
            wait_until(lambda: noted(ANNOUNCER) is not None)
        finally:
            presence.stop()
        last = noted(ANNOUNCER)
        time.sleep(0.3)
        assert noted(ANNOUNCER) == last
