from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.processes import Manage


@pytest.fixture
def server_dir(manage: Manage, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the processes that `manage` starts; once they have ended, this process can read their vectors: of
    the model that the alias names, since their database is not the one of this process.
    """
    monkeypatch.setattr("vectors.stores._choose", None)
    settings.VECTORS = replace(settings.VECTORS, path=manage.server_dir / "vectors")
    return manage.server_dir
