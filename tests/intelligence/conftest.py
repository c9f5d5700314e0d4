from __future__ import annotations

from pathlib import Path

import pytest

from entities.storage import EntityStorageService
from intelligence import hints
from intelligence.compute.base import ComputeSettings
from intelligence.compute.fake import FakeComputeClient, FakeModels
from intelligence.processing import IntelligenceProcessingService
from tests.intelligence.pipeline import Pipeline


@pytest.fixture
def pipeline(data_dir: Path) -> Pipeline:
    """The pipeline without its broker: each step is taken when the test says so. Each image has two faces."""
    started: list[str] = []
    settings = ComputeSettings(spool=data_dir / "compute")
    client = FakeComputeClient(settings, FakeModels(settings, faces=2), started.extend)
    processing = IntelligenceProcessingService.of(client, EntityStorageService.from_settings())
    return Pipeline(processing, client, started)


@pytest.fixture(autouse=True)
def _every_hint_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not covered by one that an earlier test has sent a moment ago."""
    for debounce in (hints._reconcile, hints._dispatch):
        monkeypatch.setattr(debounce, "seconds", 0)
