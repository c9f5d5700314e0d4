"""The JSON files beside a model, read with their types checked: a slip is named, not guessed at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from intelligence.compute.onnx.errors import ModelFileError


class SettingsFile:
    """One object of a JSON file; a null counts as nothing. ModelFileError names the file and the
    key of what is wrong."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path = path
        self._values = values

    @classmethod
    def read(cls, path: Path) -> SettingsFile:
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise ModelFileError(f"{path} is no JSON file.") from error
        if not isinstance(values, dict):
            raise ModelFileError(f"{path} is no JSON object.")
        return cls(path, values)

    def __contains__(self, key: str) -> bool:
        return self._values.get(key) is not None

    def raw(self, key: str) -> Any:
        return self._values.get(key)

    def part(self, key: str) -> SettingsFile:
        """An object inside; empty if it is not there."""
        value = self._values.get(key) or {}
        if not isinstance(value, dict):
            raise self.wrong(key)
        return SettingsFile(self.path, value)

    def flag(self, key: str, *, default: bool) -> bool:
        value = self._values[key] if key in self else default
        if not isinstance(value, bool):
            raise self.wrong(key)
        return value

    def word(self, key: str, default: str) -> str:
        value = self._values[key] if key in self else default
        if not isinstance(value, str):
            raise self.wrong(key)
        return value

    def number(self, key: str, default: float) -> float:
        value = self._values[key] if key in self else default
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(key)
        return float(value)

    def length(self, key: str, default: int | None = None) -> int:
        value = self._values[key] if key in self else default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.wrong(key)
        return value

    def colour(self, key: str) -> tuple[float, float, float]:
        value = self._values.get(key)
        if not isinstance(value, list) or len(value) != 3 or not all(_is_number(v) for v in value):  # noqa: PLR2004 - red, green, blue
            raise self.wrong(key)
        return float(value[0]), float(value[1]), float(value[2])

    def wrong(self, key: str) -> ModelFileError:
        return ModelFileError(f"{self.path}: {key} is {self._values.get(key)!r}, which is not understood.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
