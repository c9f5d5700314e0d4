from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from intelligence.compute import local
from intelligence.compute.base import (
    EMBED_FACES_WITH,
    Capabilities,
    ComputeError,
    ComputeSettings,
    DetectedFace,
    EmbeddingResult,
    FaceDetectionResult,
    JobState,
    ModelInfo,
    UnknownJobError,
    Vector,
)
from intelligence.compute.fake import FakeModels
from intelligence.compute.local import SpoolComputeClient
from intelligence.compute.picture import Picture
from intelligence.vocabulary import TaskType

CLIP, DINO = TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING
FACES, FACE = TaskType.FACE_DETECTION, TaskType.FACE_EMBEDDING


class RuntimeTroubleError(Exception):
    """What the library below might raise."""


class Models:
    """Two tasks; CLIP does what it is told to."""

    failures = (RuntimeTroubleError,)

    def __init__(self) -> None:
        self.clip: Callable[[], Vector] = lambda: np.full(4, 0.5, dtype=np.float32)

    def capabilities(self) -> Capabilities:
        return Capabilities(
            {task: ModelInfo(f"{task}-4", dimension=4) for task in (CLIP, DINO)}, "For a test."
        )

    def detect_faces(self, picture: Picture) -> tuple[DetectedFace, ...]:
        return ()

    def embed(self, task: TaskType, picture: Picture) -> Vector:
        return self.clip() if task is CLIP else np.full(4, 0.5, dtype=np.float32)

    def embed_text(self, text: str) -> Vector:
        raise AssertionError


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def started() -> list[str]:
    return []


@pytest.fixture
def client(compute_settings: ComputeSettings, models: Models, started: list[str]) -> SpoolComputeClient:
    return SpoolComputeClient(compute_settings, models, started.extend)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 30), "teal").save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def nobody(job_ids: Sequence[str]) -> None:
    """Starts no job."""


def raising(error: BaseException) -> Callable[[], Vector]:
    def clip() -> Vector:
        raise error

    return clip


def test_start_asks_for_the_jobs(client: SpoolComputeClient, started: list[str]) -> None:
    client.start(["1", "2"])
    assert started == ["1", "2"]


def test_start_of_nothing_asks_nobody(compute_settings: ComputeSettings, models: Models) -> None:
    def refuse(job_ids: object) -> None:
        raise AssertionError

    SpoolComputeClient(compute_settings, models, refuse).start([])


def test_task_without_a_model_is_refused(client: SpoolComputeClient, photo: Path) -> None:
    with pytest.raises(ComputeError, match="No model is active that does face_detection") as caught:
        client.submit(TaskType.FACE_DETECTION, photo, {}, "1")
    assert caught.value.permanent


def test_each_image_is_decoded_once(
    client: SpoolComputeClient, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.png"
    other.write_bytes(photo.read_bytes())
    decoded: list[Path] = []

    class CountedPicture(Picture):
        def __init__(self, path: Path, *, max_pixels: int) -> None:
            decoded.append(path)
            super().__init__(path, max_pixels=max_pixels)

    monkeypatch.setattr(local, "Picture", CountedPicture)
    for number, (task, image) in enumerate([(CLIP, photo), (CLIP, other), (DINO, photo), (DINO, other)]):
        client.submit(task, image, {}, str(number))
    assert client.run(["0", "1", "2", "3"]) == ("0", "1", "2", "3")
    assert client.run(["0", "1", "2", "3"]) == ("0", "1", "2", "3")
    assert decoded == [photo, other]


def test_run_answers_only_for_jobs_it_knows(client: SpoolComputeClient, photo: Path) -> None:
    client.submit(CLIP, photo, {}, "known")
    client.submit(CLIP, photo, {}, "cancelled")
    client.cancel("cancelled")
    assert client.run(["never", "known", "cancelled", "../.."]) == ("known",)


@pytest.mark.parametrize(
    ("error", "reason", "permanent"),
    [
        (ValueError("/srv/model: bad shape"), "could not cope with this image (ValueError)", True),
        (RuntimeTroubleError("/build/x.cpp:12"), "could not cope", True),
        (FloatingPointError(), "could not cope", True),
        (MemoryError(), "not enough memory", False),
        (ComputeError("Too dark.", permanent=True), "Too dark.", True),
        (ComputeError("Not now."), "Not now.", False),
    ],
)
def test_failure_of_a_model_fails_its_job_alone(
    client: SpoolComputeClient, models: Models, photo: Path, error: Exception, reason: str, *, permanent: bool
) -> None:
    models.clip = raising(error)
    client.submit(CLIP, photo, {}, "clip")
    client.submit(DINO, photo, {}, "dino")
    assert client.run(["clip", "dino"]) == ("clip", "dino")
    report = client.get("clip")
    assert report.state is JobState.FAILED
    assert reason in report.error
    assert "/" not in report.error
    assert report.permanent is permanent
    assert client.get("dino").state is JobState.COMPLETED


@pytest.mark.parametrize("numbers", [[0.5] * 3, [np.nan] * 4, [1.0] * 4])
def test_useless_vector_fails_the_job(
    client: SpoolComputeClient, models: Models, photo: Path, numbers: list[float]
) -> None:
    models.clip = lambda: np.array(numbers, dtype=np.float32)
    client.submit(CLIP, photo, {}, "1")
    client.run(["1"])
    assert client.get("1").state is JobState.FAILED


def test_mistake_in_the_program_is_not_hidden(
    client: SpoolComputeClient, models: Models, photo: Path
) -> None:
    models.clip = raising(TypeError("a bug"))
    client.submit(CLIP, photo, {}, "1")
    with pytest.raises(TypeError):
        client.run(["1"])
    assert client.get("1").state is JobState.QUEUED


def test_job_whose_worker_died_can_be_run_again(
    client: SpoolComputeClient, models: Models, photo: Path
) -> None:
    works, models.clip = models.clip, raising(SystemExit(9))
    client.submit(CLIP, photo, {}, "1")
    with pytest.raises(SystemExit):
        client.run(["1"])
    assert client.get("1").state is JobState.QUEUED
    models.clip = works
    assert client.run(["1"]) == ("1",)
    assert client.get("1").state is JobState.COMPLETED


def test_missing_image_fails_the_job(client: SpoolComputeClient, photo: Path) -> None:
    client.submit(CLIP, photo, {}, "1")
    photo.unlink()
    client.run(["1"])
    assert "no longer there" in client.get("1").error


def test_image_beyond_the_limit_fails_the_job(
    compute_settings: ComputeSettings, models: Models, photo: Path
) -> None:
    small = ComputeSettings(spool=compute_settings.spool, max_image_pixels=100)
    client = SpoolComputeClient(small, models, nobody)
    client.submit(CLIP, photo, {}, "1")
    client.run(["1"])
    assert "1,200 pixels" in client.get("1").error


def test_unreadable_outcome_is_forgotten_and_can_be_had_again(
    client: SpoolComputeClient, photo: Path, compute_settings: ComputeSettings
) -> None:
    client.submit(CLIP, photo, {}, "1")
    client.run(["1"])
    (outcome,) = compute_settings.spool.glob("*/1.outcome")
    outcome.write_bytes(b"")
    with pytest.raises(UnknownJobError):
        client.get("1")
    client.submit(CLIP, photo, {}, "1")
    client.run(["1"])
    assert isinstance(client.get("1").result, EmbeddingResult)


def test_another_process_sees_the_same_jobs(
    compute_settings: ComputeSettings, client: SpoolComputeClient, models: Models, photo: Path
) -> None:
    client.submit(CLIP, photo, {}, "1")
    worker = SpoolComputeClient(compute_settings, models, nobody)
    assert worker.run(["1"]) == ("1",)
    assert client.get("1").state is JobState.COMPLETED


def test_relative_image_path_is_good_from_anywhere(
    client: SpoolComputeClient, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    client.submit(CLIP, Path(photo.name), {}, "1")
    monkeypatch.chdir("/")
    client.run(["1"])
    assert client.get("1").state is JobState.COMPLETED


def test_purge_forgets_old_jobs(client: SpoolComputeClient, photo: Path) -> None:
    client.submit(CLIP, photo, {}, "1")
    assert client.purge(timedelta(hours=1), lambda _ids: ()) == 0
    assert client.purge(timedelta(seconds=-1), lambda _ids: ()) == 1
    with pytest.raises(UnknownJobError):
        client.get("1")


@pytest.mark.parametrize("module", ["base", "local", "fake", "validation"])
def test_importing_loads_no_runtime(module: str) -> None:
    code = f"import intelligence.compute.{module}, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"cv2", "onnxruntime", "django", "httpx"} & set(done.stdout.split())


class ModelsOfFaces(Models):
    """One face on each image; its embedding is made as CLIP's is."""

    def capabilities(self) -> Capabilities:
        offered = super().capabilities()
        faces = {FACES: ModelInfo("faces"), FACE: ModelInfo("face-4", dimension=4)}
        return replace(offered, models={**offered.models, **faces})

    def detect_faces(self, picture: Picture) -> tuple[DetectedFace, ...]:
        return FakeModels(ComputeSettings(Path()), faces=1).detect_faces(picture)

    def embed(self, task: TaskType, picture: Picture) -> Vector:
        return self.clip()


@pytest.fixture
def faces(compute_settings: ComputeSettings) -> tuple[SpoolComputeClient, ModelsOfFaces]:
    models = ModelsOfFaces()
    return SpoolComputeClient(compute_settings, models, nobody), models


def found_face(client: SpoolComputeClient, photo: Path, params: dict[str, object]) -> DetectedFace:
    client.submit(FACES, photo, params, "1")
    client.run(["1"])
    result = client.get("1").result
    assert isinstance(result, FaceDetectionResult)
    return result.faces[0]


@pytest.mark.parametrize(
    ("params", "model"),
    [({}, None), ({EMBED_FACES_WITH: "face-4"}, "face-4"), ({EMBED_FACES_WITH: "unknown"}, None)],
)
def test_faces_are_embedded_at_once_if_that_is_asked_for(
    faces: tuple[SpoolComputeClient, ModelsOfFaces], photo: Path, params: dict[str, object], model: str | None
) -> None:
    embedding = found_face(faces[0], photo, params).embedding
    assert (embedding and embedding.model) == model


@pytest.mark.parametrize("error", [ValueError(), RuntimeTroubleError(), MemoryError(), ComputeError("No.")])
def test_a_face_that_cannot_be_embedded_at_once_is_found_all_the_same(
    faces: tuple[SpoolComputeClient, ModelsOfFaces], photo: Path, error: Exception
) -> None:
    client, models = faces
    models.clip = raising(error)
    assert found_face(client, photo, {EMBED_FACES_WITH: "face-4"}).embedding is None


def test_a_useless_vector_of_a_face_is_dropped(
    faces: tuple[SpoolComputeClient, ModelsOfFaces], photo: Path
) -> None:
    client, models = faces
    models.clip = lambda: np.ones(4, dtype=np.float32)
    assert found_face(client, photo, {EMBED_FACES_WITH: "face-4"}).embedding is None
