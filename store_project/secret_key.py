"""The secret key of an installation that was given none: made once, kept in the server's folder."""

from __future__ import annotations

import secrets
from pathlib import Path

from store_project.config import ConfigError
from store_project.create_once import create_once


def read_or_create(path: Path) -> str:
    try:
        if not path.exists():
            create_once(path, secrets.token_urlsafe(50).encode(), mode=0o600)
        key = path.read_text().strip()
    except OSError as error:
        raise ConfigError(
            f"The secret key cannot be kept: {error}. "
            "Let CL_SERVER_DIR name a folder that can be written to, or set SECRET_KEY."
        ) from error
    if not key:
        raise ConfigError(f"The secret key in {path} is empty. Delete the file, and a new one is made.")
    return key
