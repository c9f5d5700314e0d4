"""What every compute client does alike. To add one: a factory in CLIENTS that gives a ClientUnderTest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intelligence.compute.base import (
    EMBED_FACES_WITH,
    ComputeClient,
    ComputeError,
    ComputeSettings,
    EmbeddingResult,
    FaceDetectionResult,
    JobReport,
    JobState,
    RunsJobs,
    UnknownJobError,
)
from intelligence.compute.fake import FakeComputeClient
from intelligence.compute.local import LocalComputeClient
from intelligence.compute.remote import RemoteComputeClient
from intelligence.compute.validation import check_result
from intelligence.vocabulary import IMAGE_TASKS, TaskType
from tests.contracts.compute_service import serving
from tests.intelligence.compute.pictures import SKIMAGE

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

EMBEDDINGS = (TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING, TaskType.FACE_EMBEDDING)


@dataclass(frozen=True)
class ClientUnderTest:
    client: ComputeClient
    finish: Callable[[Sequence[str]], None]
    """Starts the jobs and comes back when they have ended."""


def local(folder: Path) -> AbstractContextManager[ClientUnderTest]:
    return spooled(LocalComputeClient, folder)


def fake(folder: Path) -> AbstractContextManager[ClientUnderTest]:
    return spooled(FakeComputeClient, folder)


@contextmanager
def spooled(kind: type[LocalComputeClient | FakeComputeClient], folder: Path) -> Iterator[ClientUnderTest]:
    """Its jobs run on the spot, as soon as they are asked to be started."""
    workers: list[RunsJobs] = []
    client = kind.create(ComputeSettings(spool=folder / "spool"), lambda ids: run(workers, ids))
    workers.append(client)
    yield ClientUnderTest(client, finish=client.start)


@contextmanager
def remote(folder: Path) -> Iterator[ClientUnderTest]:
    """Over HTTP, with a login, to a service whose workers wait for the test."""
    with serving(wants_login=True) as service:
        client = RemoteComputeClient.create(service.settings(folder / "spool"), lambda _ids: None)
        yield ClientUnderTest(client, finish=service.work)


def run(workers: Sequence[RunsJobs], job_ids: Sequence[str]) -> None:
    for worker in workers:
        worker.run(job_ids)


CLIENTS = [local, fake, remote]


@pytest.fixture(params=CLIENTS, ids=lambda factory: factory.__name__)
def under_test(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ClientUnderTest]:
    with request.param(tmp_path) as under_test:
        yield under_test
        under_test.client.close()


@pytest.fixture
def client(under_test: ClientUnderTest) -> ComputeClient:
    return under_test.client


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return drawn(tmp_path / "photo.jpg", seed=0)


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    return drawn(tmp_path / "crop.png", seed=1, size=(112, 112))


def drawn(path: Path, *, seed: int, size: tuple[int, int] = (320, 240)) -> Path:
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def done(under_test: ClientUnderTest, task: TaskType, image: Path, key: str = "key-1") -> JobReport:
    job_id = under_test.client.submit(task, image, {}, key)
    under_test.finish([job_id])
    return under_test.client.get(job_id)


def embedding(report: JobReport) -> EmbeddingResult:
    assert report.state is JobState.COMPLETED, report.error
    assert isinstance(report.result, EmbeddingResult)
    return report.result


def test_job_waits_until_it_is_started(client: ComputeClient, photo: Path) -> None:
    job_id = client.submit(TaskType.CLIP_EMBEDDING, photo, {}, "key-1")
    assert client.get(job_id) == JobReport(JobState.QUEUED)


@pytest.mark.parametrize("task", EMBEDDINGS)
def test_embedding_is_as_the_capabilities_say(
    under_test: ClientUnderTest, photo: Path, crop: Path, task: TaskType
) -> None:
    result = embedding(done(under_test, task, crop if task is TaskType.FACE_EMBEDDING else photo))
    model = under_test.client.capabilities().models[task]
    assert result.model == model.name
    check_result(result, dimension=model.dimension)


def test_detection_is_as_the_capabilities_say(under_test: ClientUnderTest, photo: Path) -> None:
    report = done(under_test, TaskType.FACE_DETECTION, photo)
    assert report.state is JobState.COMPLETED
    assert isinstance(report.result, FaceDetectionResult)
    assert report.result.model == under_test.client.capabilities().models[TaskType.FACE_DETECTION].name
    check_result(report.result, dimension=None)


@pytest.mark.parametrize("under_test", [local, fake], indirect=True, ids=lambda kind: kind.__name__)
def test_a_face_embedded_at_once_is_as_by_a_job_of_its_own(
    under_test: ClientUnderTest, tmp_path: Path
) -> None:
    model = under_test.client.capabilities().models[TaskType.FACE_EMBEDDING].name
    job_id = under_test.client.submit(
        TaskType.FACE_DETECTION, SKIMAGE / "astronaut.png", {EMBED_FACES_WITH: model}, "faces"
    )
    under_test.finish([job_id])
    found = under_test.client.get(job_id).result
    assert isinstance(found, FaceDetectionResult)
    assert found.faces
    for number, face in enumerate(found.faces):
        crop = tmp_path / f"{number}.png"
        crop.write_bytes(face.crop)
        own = embedding(done(under_test, TaskType.FACE_EMBEDDING, crop, f"face-{number}"))
        assert face.embedding is not None
        assert face.embedding.model == own.model == model
        assert np.array_equal(face.embedding.vector, own.vector)


def test_capabilities_name_a_model_for_every_task(client: ComputeClient) -> None:
    capabilities = client.capabilities()
    assert set(capabilities.models) == set(TaskType)
    assert capabilities.models[TaskType.FACE_DETECTION].dimension is None
    assert capabilities.summary


def test_same_image_gives_the_same_vector(under_test: ClientUnderTest, photo: Path) -> None:
    one, two = (embedding(done(under_test, TaskType.DINO_EMBEDDING, photo, key)) for key in ("one", "two"))
    assert np.array_equal(one.vector, two.vector)


def test_other_image_gives_another_vector(under_test: ClientUnderTest, photo: Path, crop: Path) -> None:
    one = embedding(done(under_test, TaskType.DINO_EMBEDDING, photo, "one"))
    two = embedding(done(under_test, TaskType.DINO_EMBEDDING, crop, "two"))
    assert one.vector @ two.vector < 0.9


def test_submitting_again_does_no_harm(under_test: ClientUnderTest, photo: Path) -> None:
    """The same key gives the same job where workers of ours run it; a service makes another one of it."""
    client = under_test.client
    job_id = client.submit(TaskType.CLIP_EMBEDDING, photo, {}, "key-1")
    again = client.submit(TaskType.CLIP_EMBEDDING, photo, {}, "key-1")
    assert (again == job_id) is client.runs_here
    if again != job_id:
        client.cancel(again)
    under_test.finish([job_id])
    assert (client.submit(TaskType.CLIP_EMBEDDING, photo, {}, "key-1") == job_id) is client.runs_here
    assert client.get(job_id).state is JobState.COMPLETED
    assert client.submit(TaskType.CLIP_EMBEDDING, photo, {}, "key-2") != job_id


def test_finishing_again_changes_nothing(under_test: ClientUnderTest, photo: Path) -> None:
    first = embedding(done(under_test, TaskType.CLIP_EMBEDDING, photo))
    again = embedding(done(under_test, TaskType.CLIP_EMBEDDING, photo))
    assert np.array_equal(first.vector, again.vector)


def test_undecodable_image_fails_in_words_without_a_path(under_test: ClientUnderTest, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"this is not a photo")
    report = done(under_test, TaskType.CLIP_EMBEDDING, broken)
    assert report.state is JobState.FAILED
    assert report.permanent
    assert "image" in report.error
    assert str(tmp_path) not in report.error
    assert "/" not in report.error


def test_one_failure_does_not_touch_the_others(
    under_test: ClientUnderTest, photo: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(photo.read_bytes()[:1000])
    client = under_test.client
    jobs = {
        image: [client.submit(task, image, {}, f"{image.stem}-{task}") for task in IMAGE_TASKS]
        for image in (broken, photo)
    }
    under_test.finish([*jobs[broken], *jobs[photo]])
    assert {client.get(job_id).state for job_id in jobs[broken]} == {JobState.FAILED}
    assert {client.get(job_id).state for job_id in jobs[photo]} == {JobState.COMPLETED}


@pytest.mark.parametrize("job_id", ["never-submitted", "../../etc", ""])
def test_unknown_job(client: ComputeClient, job_id: str) -> None:
    with pytest.raises(UnknownJobError) as caught:
        client.get(job_id)
    assert not caught.value.permanent
    client.cancel(job_id)


def test_cancelled_job_is_forgotten(under_test: ClientUnderTest, photo: Path) -> None:
    client = under_test.client
    ended = client.submit(TaskType.CLIP_EMBEDDING, photo, {}, "ended")
    under_test.finish([ended])
    waiting = client.submit(TaskType.CLIP_EMBEDDING, photo, {}, "waiting")
    for job_id in (ended, waiting):
        client.cancel(job_id)
        with pytest.raises(UnknownJobError):
            client.get(job_id)


@pytest.mark.parametrize("key", ["", "../../outside", "a/b", "a.b", "a" * 65, "line\n", "é", "a\0b"])
def test_hostile_key_is_refused(client: ComputeClient, photo: Path, tmp_path: Path, key: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ComputeError) as caught:
        client.submit(TaskType.CLIP_EMBEDDING, photo, {}, key)
    assert caught.value.permanent
    assert sorted(tmp_path.rglob("*")) == before


def test_threads_at_once(under_test: ClientUnderTest, tmp_path: Path) -> None:
    images = [drawn(tmp_path / f"{number}.jpg", seed=number) for number in range(4)]

    def states(number: int) -> set[JobState]:
        image = images[number % len(images)]
        keys = [f"{image.stem}-{task}" for task in IMAGE_TASKS]
        jobs = zip(IMAGE_TASKS, keys, strict=True)
        job_ids = [under_test.client.submit(task, image, {}, key) for task, key in jobs]
        under_test.finish(job_ids)
        return {under_test.client.get(job_id).state for job_id in job_ids}

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(states, range(16))) == [{JobState.COMPLETED}] * 16
