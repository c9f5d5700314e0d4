"""Secrets by file: NAME_FILE names a file that holds what NAME would, as containers get them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values


@dataclass(frozen=True)
class SecretFiles:
    values: dict[str, str] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    """In words, without anything that a file holds."""


def read(names: Iterable[str], env_file: Path | None) -> SecretFiles:
    """Of these fields; the environment goes before the file of variables, as with every variable."""
    variables = {**(dotenv_values(env_file) if env_file and env_file.is_file() else {}), **os.environ}
    found = SecretFiles()
    for name in names:
        variable = f"{name.upper()}_FILE"
        path = variables.get(variable)
        if not path:
            continue
        if variables.get(name.upper()):
            found.mistakes.append(f"  {variable}: {name.upper()} is set as well; leave one of them out")
            continue
        try:
            found.values[name] = Path(path).read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            found.mistakes.append(f"  {variable}: {path} cannot be read: {_reason(error)}")
    return found


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is no text"
