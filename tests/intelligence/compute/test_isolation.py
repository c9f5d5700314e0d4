"""An image that kills a process, or holds it, is the end of that process; of nothing else."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from intelligence.compute.base import (
    EMBED_FACES_WITH,
    ChosenModel,
    ComputeError,
    ComputeSettings,
    EmbeddingResult,
    FaceDetectionResult,
    JobState,
    RunDiedError,
)
from intelligence.compute.isolation import MODULE, IsolatedComputeClient
from intelligence.compute.local import LocalComputeClient
from intelligence.vocabulary import TaskType
from store_project.config import BASE_DIR
from tests.intelligence.compute.onnx.layouts import write_endless_tower, write_token_tower
from tests.pictures import painted
from tests.processes import children_of, command_of, wait_until

CLIP, DINO = TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING

Make = Callable[..., IsolatedComputeClient]
AtIt = Callable[[IsolatedComputeClient, str], AbstractContextManager[int]]

LOADED = "mean.onnx on CPU"
"""What a process says when it has opened everything and is at an image."""


def those_that_look() -> list[int]:
    """Of this process's children: a browser of other tests may be among them."""
    return [each for each in children_of(os.getpid()) if MODULE in command_of(each)]


@pytest.fixture
def settings(compute_settings: ComputeSettings, tmp_path: Path) -> ComputeSettings:
    write_endless_tower(tmp_path / "models" / "mean.onnx")
    chosen = (ChosenModel(DINO, "mean"),)
    return replace(compute_settings, models_dir=tmp_path / "models", read_chosen=lambda: chosen)


@pytest.fixture
def make(settings: ComputeSettings) -> Iterator[Make]:
    made: list[IsolatedComputeClient] = []

    def make(**changes: object) -> IsolatedComputeClient:
        made.append(IsolatedComputeClient.create(replace(settings, **changes), lambda _ids: None))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for client in made:
        client.close()
    wait_until(lambda: those_that_look() == [])


def a_picture(folder: Path, colour: str) -> Path:
    path = folder / f"{colour}.png"
    path.write_bytes(painted(colour))
    return path


def submitted(client: LocalComputeClient, image: Path) -> str:
    return client.submit(DINO, image, {}, image.stem)


@pytest.fixture
def teal(tmp_path: Path) -> Path:
    return a_picture(tmp_path, "teal")


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    return a_picture(tmp_path, "white")


def process_of(client: IsolatedComputeClient) -> int:
    (process,) = those_that_look()
    return process


@pytest.fixture
def at_it(caplog: pytest.LogCaptureFixture) -> AtIt:
    """The process that has begun with the job and will not come to an end; RunDiedError when it has."""
    caplog.set_level(logging.INFO)

    @contextmanager
    def at_it(client: IsolatedComputeClient, job_id: str) -> Iterator[int]:
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(client.run, [job_id])
            wait_until(lambda: any(LOADED in record.message for record in caplog.records))
            yield process_of(client)
            run.result(timeout=30)

    return at_it


# --- What it answers ---


def test_results_are_those_of_the_same_models_in_this_process(
    make: Make,
    settings: ComputeSettings,
    tmp_path: Path,
    portraits: dict[str, Path],
    model_files: dict[str, Path],
) -> None:
    for name in ("face_detection_yunet_dynamic", "mobilefacenet_foamliu_112x112"):
        (tmp_path / "models" / f"{name}.onnx").symlink_to(model_files[name])
    chosen = (
        ChosenModel(DINO, "mean"),
        ChosenModel(TaskType.FACE_DETECTION, "face_detection_yunet_dynamic"),
        ChosenModel(TaskType.FACE_EMBEDDING, "mobilefacenet_foamliu_112x112"),
    )
    isolated = make(read_chosen=lambda: chosen)
    here = LocalComputeClient.create(
        replace(settings, spool=tmp_path / "here", read_chosen=lambda: chosen), print
    )
    faces_by = {EMBED_FACES_WITH: here.capabilities().models[TaskType.FACE_EMBEDDING].name}
    assert isolated.capabilities() == here.capabilities()
    for client in (isolated, here):
        client.submit(TaskType.FACE_DETECTION, portraits["group_obama_biden"], faces_by, "faces")
        client.submit(CLIP, portraits["group_obama_biden"], {}, "clip")
        assert client.run(["faces", "clip"]) == ("faces", "clip")

    one, two = (client.get("faces").result for client in (isolated, here))
    assert isinstance(one, FaceDetectionResult)
    assert isinstance(two, FaceDetectionResult)
    assert len(one.faces) >= 2
    assert [replace(face, embedding=None) for face in one.faces] == [
        replace(face, embedding=None) for face in two.faces
    ]
    for face, same in zip(one.faces, two.faces, strict=True):
        assert face.embedding is not None
        assert same.embedding is not None
        assert np.array_equal(face.embedding.vector, same.embedding.vector)


def test_what_is_searched_for_becomes_the_same_vector(
    make: Make, settings: ComputeSettings, teal: Path
) -> None:
    isolated, here = make(), LocalComputeClient.create(settings, print)
    assert np.array_equal(isolated.embed_picture(DINO, teal).vector, here.embed_picture(DINO, teal).vector)
    assert isolated.embed_picture(DINO, teal).model == here.capabilities().models[DINO].name
    with pytest.raises(ComputeError, match="understands no text") as told:
        isolated.embed_text("a cat")
    assert told.value.permanent


def test_each_answer_of_a_model_is_told(make: Make, teal: Path) -> None:
    client = make()
    told: list[tuple[TaskType, str]] = []
    client.on_answer = lambda task, model, _seconds: told.append((task, model))
    client.run([submitted(client, teal)])
    assert told == [(DINO, client.capabilities().models[DINO].name)]


def test_the_built_in_baseline_needs_no_process(make: Make, teal: Path) -> None:
    client = make(read_chosen=tuple)
    assert client.run([submitted(client, teal)]) == ("teal",)
    assert client.embed_picture(DINO, teal).vector.shape == (384,)
    assert those_that_look() == []


def test_other_models_are_chosen(make: Make, tmp_path: Path, teal: Path) -> None:
    write_token_tower(tmp_path / "models" / "other.onnx")
    chosen = [ChosenModel(DINO, "mean")]
    client = make(read_chosen=lambda: tuple(chosen))
    client.run([submitted(client, teal)])
    chosen[:] = [ChosenModel(DINO, "other")]
    client.look_again()
    assert client.embed_picture(DINO, teal).model.startswith("other-")
    client.submit(DINO, teal, {}, "again")
    client.run(["again"])
    result = client.get("again").result
    assert isinstance(result, EmbeddingResult)
    assert result.model.startswith("other-")


def test_files_that_were_replaced_are_not_taken_for_those_before(
    make: Make, tmp_path: Path, teal: Path
) -> None:
    client = make()
    job_id = submitted(client, teal)
    write_token_tower(tmp_path / "models" / "mean.onnx")
    assert client.run([job_id]) == (job_id,)
    assert "replaced while in use" in client.get(job_id).error


# --- What it survives ---


def test_an_image_that_takes_too_long(make: Make, endless: Path, teal: Path) -> None:
    client = make(image_seconds=4.0)
    with pytest.raises(RunDiedError, match="took longer than 4 seconds") as told:
        client.run([submitted(client, endless)])
    assert told.value.job_ids == ["white"]
    assert not told.value.permanent
    assert client.get("white").state is JobState.QUEUED
    assert client.run([submitted(client, teal)]) == ("teal",)


TOLD_OF = {signal.SIGSEGV: "SIGSEGV", signal.SIGKILL: "memory had run out"}


@pytest.mark.parametrize("number", TOLD_OF)
def test_a_process_that_dies(
    make: Make, at_it: AtIt, endless: Path, teal: Path, number: signal.Signals
) -> None:
    client = make()
    with (
        pytest.raises(RunDiedError, match=TOLD_OF[number]),
        at_it(client, submitted(client, endless)) as process,
    ):
        os.kill(process, number)
    assert client.run([submitted(client, teal)]) == ("teal",)


def test_whoever_searches_is_told(make: Make, endless: Path, teal: Path) -> None:
    client = make(image_seconds=4.0)
    with pytest.raises(RunDiedError, match="took longer"):
        client.embed_picture(DINO, endless)
    assert client.embed_picture(DINO, teal).vector.shape == (3,)


def test_one_that_died_while_nobody_asked_it(make: Make, teal: Path, tmp_path: Path) -> None:
    client = make()
    client.run([submitted(client, teal)])
    (process,) = client._for_jobs._free
    os.kill(process_of(client), signal.SIGKILL)
    wait_until(lambda: not process.lives)  # with all its threads: until then it may still be asked
    assert client.run([submitted(client, a_picture(tmp_path, "navy"))]) == ("navy",)


def test_what_has_ended_before_the_end_counts(make: Make, endless: Path, teal: Path, tmp_path: Path) -> None:
    client = make(image_seconds=4.0)
    client.submit(CLIP, endless, {}, "clip")
    with pytest.raises(RunDiedError) as told:
        client.run(["clip", submitted(client, endless)])
    assert told.value.job_ids == ["white"]
    assert client.get("clip").state is JobState.COMPLETED


def test_of_images_looked_at_together_all_that_have_not_ended_are_named(
    make: Make, endless: Path, teal: Path, tmp_path: Path
) -> None:
    write_endless_tower(tmp_path / "models" / "mean.onnx", patch=32)
    client = make(image_seconds=4.0)
    assert client.images_together == 4
    client.submit(CLIP, teal, {}, "clip")
    job_ids = [submitted(client, image) for image in (teal, endless, a_picture(tmp_path, "navy"))]
    with pytest.raises(RunDiedError) as told:
        client.run(["clip", *job_ids])
    assert set(told.value.job_ids) == {"teal", "white", "navy"}
    assert client.get("clip").state is JobState.COMPLETED
    assert client.run(["teal", "navy"]) == ("teal", "navy")


# --- How it ends ---


def test_it_ends_when_nobody_asks_for_long(make: Make, teal: Path, tmp_path: Path) -> None:
    client = make(idle_seconds=0.2)
    client.run([submitted(client, teal)])
    wait_until(lambda: those_that_look() == [])
    assert client.run([submitted(client, a_picture(tmp_path, "navy"))]) == ("navy",)


def test_one_process_serves_all_that_come_one_by_one(make: Make, tmp_path: Path) -> None:
    client = make()
    used = set()
    for colour in ("teal", "navy", "olive"):
        client.run([submitted(client, a_picture(tmp_path, colour))])
        used.add(process_of(client))
    assert len(used) == 1


def test_it_heeds_no_signal_that_is_sent_to_all(make: Make, tmp_path: Path) -> None:
    """By a terminal or by whoever runs services: the store decides what is finished first."""
    client = make()
    client.run([submitted(client, a_picture(tmp_path, "teal"))])
    process = process_of(client)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(process, number)
    client.run([submitted(client, a_picture(tmp_path, "navy"))])
    assert process_of(client) == process


def test_it_dies_with_the_store(settings: ComputeSettings, endless: Path) -> None:
    """Also while an image holds it, and when the store was killed."""
    store = f"""
import logging
from pathlib import Path
from intelligence.compute.base import ChosenModel, ComputeSettings
from intelligence.compute.isolation import IsolatedComputeClient
from intelligence.vocabulary import TaskType
task = TaskType.DINO_EMBEDDING
settings = ComputeSettings(
    spool=Path({str(settings.spool)!r}),
    models_dir=Path({str(settings.models_dir)!r}),
    read_chosen=lambda: (ChosenModel(task, "mean"),),
)
logging.basicConfig(level=logging.INFO)
client = IsolatedComputeClient.create(settings, print)
client.run([client.submit(task, Path({str(endless)!r}), {{}}, "white")])
"""
    with subprocess.Popen(
        [sys.executable, "-c", store], cwd=BASE_DIR, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert any(LOADED in line for line in process.stderr)  # and there it stays
        (looking,) = children_of(process.pid)
        process.kill()
    wait_until(lambda: not Path(f"/proc/{looking}").exists(), seconds=10)


def test_what_it_logs_is_the_stores_to_write(
    make: Make, teal: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = make()
    client.run([submitted(client, teal)])
    assert [record.name for record in caplog.records if LOADED in record.message] == [
        "intelligence.compute.onnx.session"
    ]
