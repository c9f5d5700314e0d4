from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from intelligence.compute import remote_http
from intelligence.compute.remote import RemoteComputeClient
from intelligence.vocabulary import TaskType
from tests.contracts import compute_service
from tests.contracts.compute_service import ComputeService, Job
from tests.contracts.remote.given import CLIP, MakeClient
from tests.factories import jpeg


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_http, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(remote_http, "AWAY_SECONDS", 0.0)


@pytest.fixture
def service() -> Iterator[ComputeService]:
    with compute_service.serving() as service:
        yield service


@pytest.fixture
def make_client(service: ComputeService, tmp_path: Path) -> Iterator[MakeClient]:
    made: list[RemoteComputeClient] = []

    def make(**options: Any) -> RemoteComputeClient:
        client = RemoteComputeClient.create(service.settings(tmp_path, **options), lambda _ids: None)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client: MakeClient) -> RemoteComputeClient:
    return make_client()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "a user's own name.JPG"
    path.write_bytes(jpeg())
    return path


@pytest.fixture
def submit(client: RemoteComputeClient, photo: Path) -> Callable[..., str]:
    return lambda task=CLIP: client.submit(task, photo, {}, "key")


@pytest.fixture
def ended(service: ComputeService, submit: Callable[..., str]) -> Callable[..., Job]:
    """A job that the service has run; what it says of it can be changed before it is asked."""

    def run(task: TaskType = CLIP) -> Job:
        job = service.jobs[submit(task)]
        service.work()
        return job

    return run
