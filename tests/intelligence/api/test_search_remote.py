"""Searching by a picture and by words where a compute service looks at images, over real HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from entities.storage import EntityStorageService
from intelligence import encoder, hints, query_jobs
from intelligence.compute import remote_http
from intelligence.compute.base import ComputeSettings
from intelligence.compute.fake import FakeModels
from intelligence.compute.picture import Picture
from intelligence.compute.remote import RemoteComputeClient
from intelligence.encoder import QueryEncoder
from intelligence.models import SearchEncoding
from intelligence.vocabulary import TaskType
from intelligence.wanted_models import WantedModels
from tests.contracts import compute_service
from tests.contracts.compute_service import ComputeService, Fault
from tests.contracts.faults import says, silent, trickles
from tests.factories import jpeg, make_photo
from vectors import VectorPoint, get_clip_store, get_dino_store

pytestmark = [pytest.mark.django_db, pytest.mark.allow_hosts(["127.0.0.1"])]


@pytest.fixture
def service(tmp_path: Path, media_root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ComputeService]:
    """A worker that has it look at pictures answers at once."""
    monkeypatch.setattr(remote_http, "FIRST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(remote_http, "AWAY_SECONDS", 0.0)
    with compute_service.serving(wants_login=True) as service:
        client = RemoteComputeClient.create(service.settings(tmp_path), lambda _ids: None)
        worker = QueryEncoder(client, EntityStorageService.from_settings(), WantedModels(client, {}))
        monkeypatch.setattr(hints, "encode", worker.encode)
        yield service
        client.close()


@pytest.fixture
def at_work(service: ComputeService) -> Iterator[ComputeService]:
    """Its own worker looks at what comes, a moment later."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.wait(0.02):
            service.work()

    thread = threading.Thread(target=work)
    thread.start()
    yield service
    is_over.set()
    thread.join()


def kept(media_root: Path) -> int:
    """An image of the store, looked at by the service as it was stored."""
    photo = make_photo(1)
    picture = Picture(media_root / str(photo.file_path), max_pixels=10**8)
    models = FakeModels(ComputeSettings(spool=Path("nowhere")))
    for store, task in (
        (get_clip_store(), TaskType.CLIP_EMBEDDING),
        (get_dino_store(), TaskType.DINO_EMBEDDING),
    ):
        vector = models.embed(task, picture)
        name = f"remote-{task.removesuffix('_embedding')}-{len(vector)}"
        store.upsert([VectorPoint(photo.pk, vector, {"entity_id": photo.pk})], model=name)
    return photo.pk


def by_picture(client: APIClient, **fields: Any) -> Any:
    picture = SimpleUploadedFile("any.name", jpeg(1))
    return client.post("/intelligence/search", {"image": picture, **fields}, format="multipart")


@pytest.mark.parametrize(("space", "jobs"), [("clip", 1), ("dino", 1), ("both", 2)])
def test_by_a_picture(
    guest: APIClient, at_work: ComputeService, media_root: Path, space: str, jobs: int
) -> None:
    stored = kept(media_root)
    answer = by_picture(guest, space=space)
    assert answer.status_code == 200, answer.content
    [hit] = answer.json()["results"]
    assert hit["entity_id"] == stored
    assert hit["score"] == pytest.approx(1, abs=1e-5)
    assert len(at_work.requests("POST", "/jobs/")) == jobs
    _leaves_nothing(at_work)


def _leaves_nothing(service: ComputeService) -> None:
    assert service.jobs == {}
    assert not SearchEncoding.objects.exists()


def test_a_service_that_is_busy_is_not_waited_for(
    guest: APIClient, service: ComputeService, media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_jobs, "ANSWER_SECONDS", 0.2)
    kept(media_root)
    began = time.monotonic()
    answer = by_picture(guest, space="both")
    assert time.monotonic() - began < 2
    assert answer.status_code == 503
    assert "busy" in answer.json()["detail"]
    _leaves_nothing(service)


@pytest.mark.parametrize("fault", [silent, trickles])
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/jobs/clip"), ("GET", "/jobs/"), ("GET", "/files/"), ("DELETE", "/jobs/"), ("POST", "/auth/")],
    ids=["submission", "asking", "result", "deletion", "login"],
)
def test_a_single_slow_request_holds_nobody_up(
    guest: APIClient,
    at_work: ComputeService,
    media_root: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    method: str,
    path: str,
    fault: Fault,
) -> None:
    """COMPUTE_TIMEOUT_SECONDS is two minutes here, and a job that nobody waits for would take them."""
    monkeypatch.setattr(query_jobs, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(query_jobs, "FORGET_SECONDS", 0.5)
    monkeypatch.setattr(remote_http, "AWAY_SECONDS", 60)
    kept(media_root)
    at_work.misbehave(method, path, fault)
    began = time.monotonic()
    answer = by_picture(guest)
    assert time.monotonic() - began < 3
    assert answer.status_code == (200 if method == "DELETE" else 503), answer.content
    if "auth" not in path:  # where it has let us in, it is not left alone for this
        assert by_picture(guest).status_code == 200


@pytest.mark.parametrize(
    "fault",
    [("POST", "/jobs/clip"), ("GET", "/jobs/"), ("GET", "/files/")],
    ids=["submission", "asking", "result"],
)
def test_a_service_that_is_away(
    guest: APIClient, at_work: ComputeService, media_root: Path, fault: tuple[str, str]
) -> None:
    kept(media_root)
    at_work.misbehave(*fault, says(503), times=3)
    answer = by_picture(guest)
    assert answer.status_code == 503, answer.content
    assert "does not answer now" in answer.json()["detail"]
    _leaves_nothing(at_work)


def test_a_job_that_cannot_be_deleted_is_deleted_later(
    guest: APIClient, at_work: ComputeService, media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later: list[tuple[str, float | None]] = []
    monkeypatch.setattr(hints, "forget_job", lambda job_id, after=None: later.append((job_id, after)))
    kept(media_root)
    at_work.misbehave("DELETE", "/jobs/", says(503), times=3)
    assert by_picture(guest).status_code == 200
    [job_id] = at_work.jobs
    assert later == [(job_id, query_jobs.LEFT_BEHIND_SECONDS), (job_id, None)]


def test_a_worker_that_is_killed_leaves_its_job_to_another(
    guest: APIClient, service: ComputeService, media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the time the service is first asked about the job, its deletion is on its way."""
    asked: list[tuple[str, float | None]] = []
    when_killed: list[tuple[str, float | None]] = []

    def killed(_client: RemoteComputeClient, _job_id: str) -> None:
        when_killed.extend(asked)
        raise SystemExit

    monkeypatch.setattr(hints, "forget_job", lambda job_id, after=None: asked.append((job_id, after)))
    monkeypatch.setattr(RemoteComputeClient, "get", killed)
    monkeypatch.setattr(RemoteComputeClient, "cancel", lambda *_: None)
    kept(media_root)
    with pytest.raises(SystemExit):
        by_picture(guest)
    [job_id] = service.jobs
    assert when_killed == [(job_id, query_jobs.LEFT_BEHIND_SECONDS)]


def test_what_is_no_picture_is_the_pictures_fault(
    guest: APIClient, at_work: ComputeService, media_root: Path
) -> None:
    kept(media_root)
    picture = SimpleUploadedFile("any.name", b"no picture")
    answer = guest.post("/intelligence/search", {"image": picture}, format="multipart")
    assert answer.status_code == 422
    _leaves_nothing(at_work)


def test_by_words(guest: APIClient, at_work: ComputeService, media_root: Path) -> None:
    kept(media_root)
    answer = guest.get("/intelligence/search", {"text": "a dog"})
    assert answer.status_code == 503
    assert answer.json()["detail"] == encoder.ELSEWHERE
    assert at_work.requests("POST", "/jobs/") == []
