from __future__ import annotations

import pytest

from intelligence.people.places import overlap, pair_up


def box(x: float, y: float = 0.0, side: float = 0.2) -> dict[str, float]:
    return {"x1": x, "y1": y, "x2": x + side, "y2": y + side}


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        (box(0.1), box(0.1), 1.0),
        (box(0.1), box(0.2), 1 / 3),
        (box(0.1), box(0.3), 0.0),
        (box(0.1), box(0.1, 0.5), 0.0),
        (box(0.1, side=0.4), box(0.1, side=0.2), 0.25),
        ({}, box(0.1), 0.0),
        (box(0.1, side=0.0), box(0.1, side=0.0), 0.0),
    ],
)
def test_overlap(one: dict[str, float], other: dict[str, float], share: float) -> None:
    assert overlap(one, other) == overlap(other, one) == pytest.approx(share)


def test_each_goes_with_the_one_that_it_overlaps_most() -> None:
    """Also where another one came first, or the first would do for both."""
    old = {"left": box(0.10), "right": box(0.16)}
    assert pair_up(old, {"b": box(0.17), "a": box(0.11)}) == {"left": "a", "right": "b"}
    assert pair_up(old, {"only": box(0.15)}) == {"right": "only"}


def test_who_has_moved_is_somebody_else() -> None:
    assert pair_up({"old": box(0.1)}, {"new": box(0.2)}) == {}
    assert pair_up({}, {"new": box(0.2)}) == {}
