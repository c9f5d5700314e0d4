"""How often workers are asked: at once after a quiet time, then for many changes together."""

from __future__ import annotations

import pytest

from intelligence.hints import _Debounce


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [1000.0]
    monkeypatch.setattr("intelligence.hints.time.monotonic", lambda: now[0])
    return now


def test_the_first_goes_at_once_and_the_rest_together(at: list[float]) -> None:
    debounce = _Debounce(2.0)
    waits: list[float | None] = []
    for now in (1000.0, 1000.5, 1001.0, 1002.4):
        at[0] = now
        waits.append(debounce.wait())
    assert waits == [0.0, 2.0, None, None]


def test_a_stream_is_told_once_an_interval(at: list[float]) -> None:
    debounce = _Debounce(2.0)
    waits: list[float | None] = []
    for step in range(100):
        at[0] = 1000 + step / 10
        waits.append(debounce.wait())
    assert [wait for wait in waits if wait is not None] == [0.0, *[2.0] * 5]


def test_whatever_comes_is_covered_by_a_hint_that_acts_later(at: list[float]) -> None:
    debounce = _Debounce(2.0)
    acts_at = 0.0
    for step in range(200):
        at[0] = 1000 + step * 0.13
        if (wait := debounce.wait()) is not None:
            acts_at = at[0] + wait
        assert acts_at >= at[0]


def test_after_a_quiet_time_it_goes_at_once_again(at: list[float]) -> None:
    debounce = _Debounce(2.0)
    assert debounce.wait() == 0.0
    at[0] += 2.0
    assert debounce.wait() == 0.0
