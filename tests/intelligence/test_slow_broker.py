"""A broker that takes connections and answers nothing costs one request its time-out, not each of them."""

from __future__ import annotations

import time

import pytest
from celery import Celery
from django.test import override_settings
from kombu.exceptions import OperationalError

from intelligence import hints


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When the broker was asked; each time it takes as long as the test says, and fails."""
    times: list[float] = []

    def fail(_app: Celery, *_task: object, **_options: object) -> None:
        times.append(time.monotonic())
        time.sleep(hints.SLOW_SECONDS * 2 if len(times) == 1 else 0)
        raise OperationalError("no answer")

    monkeypatch.setattr(hints, "_patience", hints._Patience())
    monkeypatch.setattr(hints, "SLOW_SECONDS", 0.05)
    monkeypatch.setattr(hints, "UNASKED_SECONDS", 0.3)
    monkeypatch.setattr(Celery, "send_task", fail)
    return times


@override_settings(EMBEDDED_BROKER=False)
def test_it_works(asked: list[float]) -> None:
    for _ in range(5):
        hints.send("reconcile")
    assert len(asked) == 1
    time.sleep(0.35)
    hints.send("reconcile")
    assert len(asked) == 2


@override_settings(EMBEDDED_BROKER=False)
def test_one_that_refuses_at_once_is_asked_again(asked: list[float]) -> None:
    asked.append(0.0)  # so that none of the following is slow
    for _ in range(3):
        hints.send("reconcile")
    assert len(asked) == 4
