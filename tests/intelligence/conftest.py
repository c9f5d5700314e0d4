from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from entities.storage import EntityStorageService
from intelligence import hints
from intelligence.compute import remote_http
from intelligence.compute.base import ComputeSettings
from intelligence.compute.fake import FakeComputeClient, FakeModels
from intelligence.compute.remote import RemoteComputeClient
from intelligence.processing import IntelligenceProcessingService
from tests import qdrant_service
from tests.contracts import compute_service
from tests.intelligence.pipeline import Pipeline
from tests.intelligence.remote_pipeline import RemotePipeline
from vectors.engines.server import ServerEngine


@pytest.fixture
def pipeline(data_dir: Path) -> Pipeline:
    """The pipeline without its broker: each step is taken when the test says so. Each image has two faces."""
    started: list[str] = []
    settings = ComputeSettings(spool=data_dir / "compute")
    client = FakeComputeClient(settings, FakeModels(settings, faces=2), started.extend)
    processing = IntelligenceProcessingService.of(client, EntityStorageService.from_settings())
    return Pipeline(processing, client, started)


@pytest.fixture
def remotely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemotePipeline]:
    monkeypatch.setattr(remote_http, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(remote_http, "AWAY_SECONDS", 0.0)
    kept: list[tuple[str, tuple[Any, ...]]] = []
    monkeypatch.setattr(hints, "send", lambda task, *arguments, **_options: kept.append((task, arguments)))
    with compute_service.serving(wants_login=True) as service:
        client = RemoteComputeClient.create(service.settings(tmp_path), lambda _ids: None)
        processing = IntelligenceProcessingService.of(client, EntityStorageService.from_settings())
        yield RemotePipeline(service, client, processing, kept)
        client.close()


@pytest.fixture(autouse=True)
def _every_hint_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not covered by one that an earlier test has sent a moment ago."""
    for debounce in (hints._reconcile, hints._dispatch):
        monkeypatch.setattr(debounce, "seconds", 0)


@pytest.fixture(params=["edge", "server"])
def each_engine(request: pytest.FixtureRequest, data_dir: Path, settings: Settings) -> Iterator[None]:
    """To be named before what asks for a store. On a server that is real the collections go afterwards."""
    if request.param == "edge":
        yield
        return
    request.getfixturevalue("socket_enabled")
    mark = f"test-{uuid.uuid4().hex}"
    own = {kind: replace(each, name=f"{mark}-{kind}") for kind, each in settings.VECTORS.collections.items()}
    with qdrant_service.real_or_running() as url:
        settings.VECTORS = replace(settings.VECTORS, url=url, collections=own)
        yield
        engine = ServerEngine.create(settings.VECTORS)
        for collection in engine.collections():
            if collection.startswith(mark):
                engine.drop(collection)
        engine.close()
