"""The secret key of an installation that was given none: made once, kept in the server's folder."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from store_project.config import ConfigError


def read_or_create(path: Path) -> str:
    try:
        if not path.exists():
            _create(path)
        key = path.read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"The secret key cannot be kept: {error}. "
            "Let CL_SERVER_DIR name a folder that can be written to, or set SECRET_KEY."
        ) from error
    if not key:
        raise ConfigError(f"The secret key in {path} is empty. Delete the file, and a new one is made.")
    return key


def _create(path: Path) -> None:
    """Two processes that start at once end up with the same key: linking fails where the file exists."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent) as file:  # mode 0600
        file.write(secrets.token_urlsafe(50))
        file.flush()
        os.fsync(file.fileno())
        try:
            os.link(file.name, path)
        except FileExistsError:
            return
