"""Images that a model looks at together: the same numbers, and none that suffers for another."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from intelligence.compute import local
from intelligence.compute.base import ChosenModel, ComputeSettings, EmbeddingResult, JobState
from intelligence.compute.local import LocalComputeClient
from intelligence.compute.onnx import session
from intelligence.compute.picture import Picture
from intelligence.vocabulary import TaskType
from tests.intelligence.compute.onnx.layouts import write_patch_tower, write_transformers
from tests.pictures import painted

CLIP, DINO = TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING
VISION = Path("models") / "clip" / "onnx" / "vision_model.onnx"


@pytest.fixture
def settings(compute_settings: ComputeSettings, tmp_path: Path) -> ComputeSettings:
    write_transformers(tmp_path / "models" / "clip")
    write_patch_tower(tmp_path / VISION)
    chosen = (ChosenModel(CLIP, "clip"),)
    return replace(compute_settings, models_dir=tmp_path / "models", read_chosen=lambda: chosen)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Six of noise, of several shapes."""
    paths = [tmp_path / f"noise{number}.png" for number in range(6)]
    for number, path in enumerate(paths):
        noise = np.random.default_rng(number).integers(0, 255, (300 + 40 * number, 400, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
    return paths


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each run of a model was fed with."""
    numbers: list[int] = []
    run = session.ModelSession.run

    def counted(
        self: session.ModelSession, feed: dict[str, Any], outputs: Sequence[str] | None = None
    ) -> Any:
        numbers.append(len(next(iter(feed.values()))))
        return run(self, feed, outputs)

    monkeypatch.setattr(session.ModelSession, "run", counted)
    return numbers


@pytest.fixture
def client(settings: ComputeSettings) -> LocalComputeClient:
    return LocalComputeClient.create(settings, lambda _ids: None)


def submitted(client: LocalComputeClient, images: Sequence[Path], *tasks: TaskType) -> list[str]:
    return [client.submit(task, image, {}, f"{image.stem}-{task}") for image in images for task in tasks]


def vectors(client: LocalComputeClient, job_ids: Sequence[str]) -> Iterator[np.ndarray[Any, Any]]:
    for job_id in job_ids:
        result = client.get(job_id).result
        assert isinstance(result, EmbeddingResult)
        yield result.vector


def test_the_numbers_are_those_of_one_by_one(
    client: LocalComputeClient, settings: ComputeSettings, tmp_path: Path, images: list[Path], fed: list[int]
) -> None:
    together = submitted(client, images, CLIP, DINO)
    assert client.run(together) == tuple(together)
    assert fed == [4, 2]

    alone = LocalComputeClient.create(replace(settings, spool=tmp_path / "alone"), lambda _ids: None)
    for job_id in submitted(alone, images, CLIP, DINO):
        alone.run([job_id])
    assert fed == [4, 2, *[1] * 6]
    both = zip(vectors(client, together), vectors(alone, together), strict=True)
    assert max(float(np.abs(one - other).max()) for one, other in both) < 1e-5
    assert len({vector.tobytes() for vector in vectors(client, together)}) == 12


def test_each_image_is_decoded_once_and_one_is_held_at_a_time(
    client: LocalComputeClient, images: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Path] = []
    held: weakref.WeakSet[Picture] = weakref.WeakSet()
    most = 0

    class WatchedPicture(Picture):
        def __init__(self, path: Path, *, max_pixels: int) -> None:
            nonlocal most
            super().__init__(path, max_pixels=max_pixels)
            decoded.append(path)
            held.add(self)
            most = max(most, len(held))

    monkeypatch.setattr(local, "Picture", WatchedPicture)
    client.run(submitted(client, images, CLIP, DINO))
    assert decoded == images
    assert most <= 2  # the next is there before the last is let go


def test_each_answer_is_told_with_its_share_of_the_time(
    client: LocalComputeClient, images: list[Path]
) -> None:
    told: list[tuple[TaskType, float]] = []
    client.on_answer = lambda task, _model, seconds: told.append((task, seconds))
    client.run(submitted(client, images[:4], CLIP))
    assert [task for task, _ in told] == [CLIP] * 4
    assert min(seconds for _, seconds in told) > 0


def test_an_image_that_is_too_much_for_the_model_fails_alone(
    client: LocalComputeClient, images: list[Path], tmp_path: Path, fed: list[int]
) -> None:
    (tmp_path / "white.png").write_bytes(painted("white"))
    job_ids = submitted(client, [images[0], tmp_path / "white.png", *images[1:3]], CLIP)
    assert client.run(job_ids) == tuple(job_ids)
    assert fed == [4, 1, 1, 1, 1]
    reports = [client.get(job_id) for job_id in job_ids]
    assert [report.state is JobState.COMPLETED for report in reports] == [True, False, True, True]
    assert "could not cope with this image (ValueError)" in reports[1].error


def test_a_file_that_is_no_image_fails_alone(
    client: LocalComputeClient, images: list[Path], tmp_path: Path, fed: list[int]
) -> None:
    (tmp_path / "words.png").write_text("no image")
    job_ids = submitted(client, [images[0], tmp_path / "words.png", images[1]], CLIP)
    assert client.run(job_ids) == tuple(job_ids)
    assert fed == [2]
    assert [client.get(job_id).state is JobState.COMPLETED for job_id in job_ids] == [True, False, True]


@pytest.mark.parametrize("how", ["fails", "row"])
def test_a_file_that_says_it_takes_several_and_does_not_is_fed_one_by_one(
    settings: ComputeSettings, tmp_path: Path, images: list[Path], how: str
) -> None:
    write_patch_tower(tmp_path / VISION, made_for_one=how)
    client = LocalComputeClient.create(settings, lambda _ids: None)
    job_ids = submitted(client, images[:4], CLIP)
    client.run(job_ids)
    assert len({vector.tobytes() for vector in vectors(client, job_ids)}) == 4


@pytest.mark.parametrize(
    ("patch", "batch", "expected"), [(32, "batch", 4), (32, 1, 1), (14, "batch", 1), (28, "batch", 4)]
)
def test_only_where_the_file_allows_it_and_it_pays(
    settings: ComputeSettings, tmp_path: Path, patch: int, batch: int | str, expected: int
) -> None:
    """Of 256 patches, as DINOv2's, four images take as long as one by one."""
    write_patch_tower(tmp_path / VISION, patch=patch, batch=batch)
    client = LocalComputeClient.create(settings, lambda _ids: None)
    assert client.images_together == expected


def test_the_baseline_takes_one_at_a_time(compute_settings: ComputeSettings) -> None:
    assert LocalComputeClient.create(compute_settings, lambda _ids: None).images_together == 1
