"""Words of the vocabulary as what a column can hold."""

from __future__ import annotations

from typing import Any


def choices(words: type[Any]) -> list[tuple[str, str]]:
    return [(word.value, word.value.replace("_", " ")) for word in words]
