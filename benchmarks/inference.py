"""Measures what looking at an image costs beyond the models themselves.

The models: YuNet and MobileFaceNet of the test data, where that is there, and two vision transformers with
random weights that cost what the real ones do: ViT-B/32 (CLIP's visual tower) and ViT-S/14 (DINOv2-small).
The photos: those of the test data, and noise of 1600 x 1200 as JPEG. All in one run:

  task        one task of one decoded image, through the store's own code; bare: the model's session alone,
              fed with the same numbers
  image       decoding and all tasks of an image, as jobs of the spool, by 1, 2, ... workers at once with 1
              thread each, and by 1 worker with 2 threads; bare: the sum of what the models took alone
  efficiency  what the models take alone / (wall time x processors). Target 0.85
  batch       one ViT-B/32 fed with four images at once, for each; bare: with one

The last line of the output is one JSON object. Compare ratios, not milliseconds, between machines.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

# Run as a script, Python looks for modules beside the script only.
from benchmarks import vision_transformers
from benchmarks.figures import Figure, Target, table
from benchmarks.photos import write_photos
from intelligence.compute.base import EMBED_FACES_WITH, ChosenModel, ComputeSettings, JobState
from intelligence.compute.baseline.models import BaselineModels
from intelligence.compute.local import LocalComputeClient
from intelligence.compute.onnx import session
from intelligence.compute.onnx.chosen import ChosenModels
from intelligence.compute.onnx.files import ModelFile
from intelligence.compute.picture import Picture
from intelligence.vocabulary import TaskType

ROOT = Path(__file__).resolve().parent.parent
TESTDATA = Path(os.environ.get("STORE_TESTDATA", ROOT.parent / "shared" / "testdata"))
CORES = os.cpu_count() or 1
EFFICIENCY = Target(0.85, of_ratio=False, at_least=True)
ROUNDS = 5
IMAGE_TASKS = (TaskType.FACE_DETECTION, TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING)


@dataclass
class ModelTime:
    """What the sessions of models have taken, and were fed with."""

    seconds: float = 0.0

    def reset(self) -> None:
        self.seconds = 0.0

    fed: list[tuple[session.ModelSession, dict[str, Any], Any]] = field(default_factory=list)


@contextmanager
def watched() -> Iterator[ModelTime]:
    told, run = ModelTime(), session.ModelSession.run

    def timed(self: session.ModelSession, feed: Any, outputs: Any = None) -> Any:
        began = time.perf_counter()
        answer = run(self, feed, outputs)
        told.seconds += time.perf_counter() - began
        told.fed.append((self, dict(feed), outputs))
        return answer

    session.ModelSession.run = timed  # type: ignore[method-assign]
    try:
        yield told
    finally:
        session.ModelSession.run = run  # type: ignore[method-assign]


@dataclass(frozen=True)
class Setup:
    folder: Path
    chosen: tuple[ChosenModel, ...]
    images: Sequence[Path]

    def settings(self, name: str, threads: int = 1) -> ComputeSettings:
        return ComputeSettings(
            spool=self.folder / f"spool-{name}",
            models_dir=self.folder / "models",
            read_chosen=lambda: self.chosen,
            threads=threads,
        )


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=24, help="(%(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, CORES, CORES + 1], help="%(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setup = _set_up(Path(folder), options.images)
        figures = [*_tasks(setup), *_batch(setup)]
        alone = _model_seconds(setup)
        for workers, threads in [*((number, 1) for number in options.workers), (1, 2)]:
            figures += _images(setup, workers, threads, alone)
    print(table(figures))
    told = {
        "images": options.images,
        "cores": CORES,
        "load": os.getloadavg()[0],
        "real_face_models": len(setup.chosen) == len(TaskType),
        "figures": [figure.as_json() for figure in figures],
    }
    print(json.dumps(told))
    return 0


def _set_up(folder: Path, number: int) -> Setup:
    models = folder / "models"
    (models / "clip").mkdir(parents=True)
    (models / "dino").mkdir()
    stated: dict[str, Any] = {"size": 224, "resample": 3, "do_center_crop": True, "crop_size": 224}
    stated |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    for name in ("clip", "dino"):
        (models / name / "preprocessor_config.json").write_text(json.dumps(stated))
    vision_transformers.write(
        models / "clip" / "onnx" / "vision_model.onnx",
        vision_transformers.VIT_B_32,
        fed="pixel_values",
        given="image_embeds",
    )
    vision_transformers.write(
        models / "dino" / "onnx" / "model.onnx",
        vision_transformers.VIT_S_14,
        fed="pixel_values",
        given="pooler_output",
    )
    chosen = [ChosenModel(TaskType.CLIP_EMBEDDING, "clip"), ChosenModel(TaskType.DINO_EMBEDDING, "dino")]
    real = {
        TaskType.FACE_DETECTION: "face_detection_yunet_dynamic",
        TaskType.FACE_EMBEDDING: "mobilefacenet_foamliu_112x112",
    }
    for task, name in real.items():
        if (file := TESTDATA / "models" / f"{name}.onnx").is_file():
            (models / file.name).symlink_to(file)
            chosen.append(ChosenModel(task, name))
    photos = sorted((TESTDATA / "photos").glob("*.jpg"))
    noise = write_photos(folder, range(max(0, number - len(photos))))
    return Setup(folder, tuple(chosen), [*photos, *noise][:number])


def _milliseconds(work: Callable[[], object]) -> float:
    """The median, after one time that does not count."""
    work()
    taken = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - began))
    return statistics.median(taken)


def _tasks(setup: Setup) -> Iterator[Figure]:
    settings = setup.settings("tasks")
    models = ChosenModels(settings, BaselineModels(settings)).build(setup.chosen)
    picture = Picture(setup.images[0], max_pixels=settings.max_image_pixels)
    yield Figure(
        "decode",
        "ms",
        _milliseconds(lambda: Picture(setup.images[0], max_pixels=settings.max_image_pixels)),
        note=setup.images[0].suffix,
    )
    for chosen in setup.chosen:
        if chosen.task is TaskType.FACE_EMBEDDING:
            continue  # it looks at crops: part of `image`

        def look(task: TaskType = chosen.task) -> object:
            if task is TaskType.FACE_DETECTION:
                return models.detect_faces(picture)
            return models.embed(task, picture)

        with watched() as told:
            look()
        runs = list(told.fed)
        bare = _milliseconds(lambda runs=runs: [each.run(feed, out) for each, feed, out in runs])  # type: ignore[misc]
        yield Figure(f"task: {chosen.task}", "ms", _milliseconds(look), bare)


def _batch(setup: Setup) -> Iterator[Figure]:
    file = ModelFile.read(setup.folder / "models" / "clip" / "onnx" / "vision_model.onnx")
    clip = session.ModelSession(file, session.SessionSettings())
    one, four = (np.zeros((number, 3, 224, 224), np.float32) for number in (1, 4))
    together = _milliseconds(lambda: clip.run({"pixel_values": four})) / 4
    yield Figure(
        "batch: ViT-B/32, 4 at once", "ms", together, _milliseconds(lambda: clip.run({"pixel_values": one}))
    )
    clip.close()


def _model_seconds(setup: Setup) -> float:
    """Of all images, one after the other, the sessions alone."""
    with watched() as told:
        _run(setup, "alone", workers=1, threads=1, begin=told.reset)
    return told.seconds


def _images(setup: Setup, workers: int, threads: int, alone: float) -> Iterator[Figure]:
    seconds = _run(setup, f"{workers}-{threads}", workers=workers, threads=threads)
    name, number = f"{workers} x {threads} thread", len(setup.images)
    yield Figure(f"image, {name}", "ms", 1000 * seconds / number, 1000 * alone / number)
    efficiency = alone / (seconds * CORES)
    target = EFFICIENCY if (workers, threads) == (CORES, 1) else None
    yield Figure(f"efficiency, {name}", "", efficiency, target=target)


def _run(
    setup: Setup, name: str, *, workers: int, threads: int, begin: Callable[[], None] = lambda: None
) -> float:
    """The seconds that all images took, once the models were loaded."""
    client = LocalComputeClient.create(setup.settings(name, threads), lambda _ids: None)
    jobs = [_submit(client, path, f"{name}-{number}") for number, path in enumerate(setup.images)]
    warm = _submit(client, setup.images[0], f"{name}-warm")
    client.run(warm)
    with ThreadPoolExecutor(workers) as pool:
        begin()
        began = time.perf_counter()
        list(pool.map(client.run, jobs))
        seconds = time.perf_counter() - began
    assert all(client.get(job_id).state is JobState.COMPLETED for ids in jobs for job_id in ids)
    return seconds


def _submit(client: LocalComputeClient, path: Path, name: str) -> list[str]:
    faces = client.capabilities().models[TaskType.FACE_EMBEDDING].name
    params = {TaskType.FACE_DETECTION: {EMBED_FACES_WITH: faces}}
    return [client.submit(task, path, params.get(task, {}), f"{name}-{task}") for task in IMAGE_TASKS]


if __name__ == "__main__":
    sys.exit(main())
