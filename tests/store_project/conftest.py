from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import override_settings

from tests.tokens import TokenService


@pytest.fixture
def public_key(tmp_path: Path) -> Iterator[Path]:
    """Where the store looks for the key that checks tokens; there is none yet."""
    path = tmp_path / "keys" / "public_key.pem"
    with override_settings(PUBLIC_KEY_FILE=path):
        yield path


@pytest.fixture
def service(public_key: Path) -> TokenService:
    """An outside service whose tokens the store accepts."""
    service = TokenService()
    service.install(public_key)
    return service
