"""Widths and heights."""

from __future__ import annotations

Size = tuple[int, int]
"""Width, height, in pixels."""


def fit(size: Size, within: Size) -> Size:
    """In proportion, never enlarged, never empty."""
    scale = min(1.0, within[0] / size[0], within[1] / size[1])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def turned(size: Size, *, sideways: bool) -> Size:
    return (size[1], size[0]) if sideways else size
