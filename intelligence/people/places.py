"""Finding the same face again on the same photo: by where it is. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

SAME_PLACE = 0.4
"""The least intersection over union of two boxes of one face. Detectors draw them more or less generously;
two faces of different people hardly ever overlap so far."""

Box = Mapping[str, float]
"""x1, y1, x2, y2."""

Old = TypeVar("Old", bound=Hashable)
New = TypeVar("New", bound=Hashable)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0..1; 0 where a box is none."""
    if not one or not other:
        return 0.0
    width = min(one["x2"], other["x2"]) - max(one["x1"], other["x1"])
    height = min(one["y2"], other["y2"]) - max(one["y1"], other["y1"])
    shared = max(0.0, width) * max(0.0, height)
    union = _area(one) + _area(other) - shared
    return shared / union if union > 0 else 0.0


def pair_up(old: Mapping[Old, Box], new: Mapping[New, Box]) -> dict[Old, New]:
    """Each with the one that it overlaps most, the best pairs first; never one with two."""
    overlaps = sorted(
        (
            (overlap(mine, other), before, after)
            for before, mine in enumerate(old.values())
            for after, other in enumerate(new.values())
        ),
        key=lambda each: (-each[0], each[1], each[2]),
    )
    olds, news = list(old), list(new)
    pairs: dict[Old, New] = {}
    taken: set[New] = set()
    for value, before, after in overlaps:
        if value >= SAME_PLACE and olds[before] not in pairs and news[after] not in taken:
            pairs[olds[before]] = news[after]
            taken.add(news[after])
    return pairs


def _area(box: Box) -> float:
    return (box["x2"] - box["x1"]) * (box["y2"] - box["y1"])
