from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pytest_django import Settings

from tests import own_services
from tests.own_services import OwnService
from tests.processes import Manage


@pytest.fixture
def server_dir(manage: Manage, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of the processes that `manage` starts; once they have ended, this process can read their vectors: of
    the model that the alias names, since their database is not the one of this process.
    """
    monkeypatch.setattr("vectors.stores._choose", None)
    settings.VECTORS = replace(settings.VECTORS, path=manage.server_dir / "vectors")
    return manage.server_dir


@pytest.fixture
def own_broker() -> Iterator[OwnService]:
    with own_services.redis() as service:
        yield service


@pytest.fixture
def worker_env(own_broker: OwnService, manage: Manage, tmp_path: Path) -> dict[str, str]:
    """For `celery_workers.worker`."""
    env = {
        "CELERY_BROKER_URL": f"redis://127.0.0.1:{own_broker.port}/0",
        "QDRANT_URL": "http://127.0.0.1:1",
        "SAID_FILE": str(tmp_path / "said"),
    }
    assert manage("migrate", **env).returncode == 0
    return env
