from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.processes import Manage


@pytest.fixture
def server_dir(manage: Manage, settings: Settings) -> Path:
    """Of the processes that `manage` starts; once they have ended, this process can read their vectors."""
    settings.VECTORS = replace(settings.VECTORS, path=manage.server_dir / "vectors")
    return manage.server_dir
