"""What was measured, beside the bare project and the targets, as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.clients import Load

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Target:
    limit: float
    of_ratio: bool = True
    """Of the store's figure divided by the bare one, or of the store's figure itself."""
    at_least: bool = False

    def is_met(self, store: float, bare: float | None) -> bool | None:
        """None where the ratio is not known."""
        if self.of_ratio and not bare:
            return None
        value = store / bare if self.of_ratio and bare else store
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}{' x bare' if self.of_ratio else ''}"


@dataclass(frozen=True)
class Figure:
    name: str
    unit: str
    store: float | None = None
    bare: float | None = None
    target: Target | None = None
    note: str = ""
    has_ratio: bool = True
    """Growth has none: nothing times two is nothing."""

    @property
    def ratio(self) -> float | None:
        if not self.has_ratio or self.store is None or not self.bare:
            return None
        return self.store / self.bare

    @property
    def is_met(self) -> bool | None:
        return (
            None if self.store is None or self.target is None else self.target.is_met(self.store, self.bare)
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "store": _rounded(self.store),
            "bare": _rounded(self.bare),
            "ratio": _rounded(self.ratio),
            "target": str(self.target) if self.target else None,
            "met": self.is_met,
            "note": self.note or None,
        }


def rate(name: str, store: Iterable[Load], bare: Iterable[Load], *, target: Target | None = None) -> Figure:
    """Of several rounds the median."""
    return Figure(name, "/s", _rate(store), _rate(bare), target)


def latencies(
    name: str, store: Iterable[Load], bare: Iterable[Load], *, target: Target | None = None
) -> list[Figure]:
    """p50, to which the target belongs, and p95."""
    mine, others = _quantiles(store), _quantiles(bare)
    return [
        Figure(f"{name}, p50", "ms", mine[0], others[0], target),
        Figure(f"{name}, p95", "ms", mine[1], others[1]),
    ]


def _rate(loads: Iterable[Load]) -> float:
    return statistics.median(len(load.seconds) / (load.end - load.start) for load in loads)


def _quantiles(loads: Iterable[Load]) -> tuple[float, float]:
    milliseconds = [1000 * each for load in loads for each in load.seconds]
    twentieths = statistics.quantiles(milliseconds, n=20, method="inclusive")
    return twentieths[9], twentieths[18]


HEADINGS = ("", "store", "bare", "unit", "ratio", "target", "")


def table(figures: Iterable[Figure]) -> str:
    cells = [HEADINGS, *(tuple(_cells(figure)) for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def _cells(figure: Figure) -> Iterator[str]:
    yield figure.name
    for value in (figure.store, figure.bare):
        yield "-" if value is None else f"{value:.1f}"
    yield figure.unit
    yield "-" if figure.ratio is None else f"{figure.ratio:.2f}"
    yield str(figure.target or "")
    yield figure.note or {True: "met", False: "MISSED", None: ""}[figure.is_met]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
