"""Measures what looking at an image costs beyond the models themselves.

The models: YuNet and MobileFaceNet of the test data, where that is there, and two vision transformers with
random weights that cost what the real ones do: ViT-B/32 (CLIP's visual tower) and ViT-S/14 (DINOv2-small).
The photos: those of the test data, and noise of 1600 x 1200 as JPEG. All in one run:

  task        one task of one decoded image, through the store's own code; bare: the model's session alone,
              fed with the same numbers
  image       decoding and all tasks of an image, as jobs of the spool, by 1, 2, ... processes at once with
              1 thread each, and by 1 process with 2 threads; bare: as many processes at once that run only
              the models, on inputs that are ready
  processor   the processor time of the same; unlike the wall's it says little of what else the machine does
  efficiency  the seconds of pure model time, summed over the bare processes / (wall time x processors). Bare
              is measured with as many processes at once because a model takes longer while another one runs
              beside it: processors share caches and memory, and virtual ones may be halves of one. Target
              0.85, on a machine that does nothing else
  together    the same, each process given four images at once, as where much waits; bare: one by one still
  batch       each vision transformer fed with 2, 4 and 8 images at once, for each, by as many processes side
              by side as there are processors; bare: with one at a time

Bare and whole take turns, ROUNDS times; told is the median. The last line of the output is one JSON object.
Compare ratios, not milliseconds, between machines.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Run as a script, Python looks for modules beside the script only.
from benchmarks import batches, vision_transformers
from benchmarks.figures import Figure, Target, table
from benchmarks.photos import write_photos
from intelligence.compute.base import EMBED_FACES_WITH, ChosenModel, ComputeSettings, JobState
from intelligence.compute.baseline.models import BaselineModels
from intelligence.compute.local import LocalComputeClient
from intelligence.compute.onnx import session
from intelligence.compute.onnx.chosen import ChosenModels
from intelligence.compute.picture import Picture
from intelligence.vocabulary import TaskType

ROOT = Path(__file__).resolve().parent.parent
TESTDATA = Path(os.environ.get("STORE_TESTDATA", ROOT.parent / "shared" / "testdata"))
CORES = os.cpu_count() or 1
EFFICIENCY = Target(0.85, of_ratio=False, at_least=True)
ROUNDS = 3
TIMES = 5
TOGETHER = 4
FED_IMAGES = 8
"""Of so many images a bare process holds all that the models are fed with: 10 MB each."""
IMAGE_TASKS = (TaskType.FACE_DETECTION, TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING)


@dataclass
class ModelTime:
    """What the sessions of models have taken, and were fed with."""

    seconds: float = 0.0

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
    together: int = 1
    """So many images are given to a process at once."""

    @property
    def towers(self) -> dict[str, Path]:
        folder = self.folder / "models"
        return {
            "ViT-B/32": folder / "clip" / "onnx" / "vision_model.onnx",
            "ViT-S/14": folder / "dino" / "onnx" / "model.onnx",
        }

    def settings(self, name: str, threads: int = 1) -> ComputeSettings:
        return ComputeSettings(
            spool=self.folder / f"spool-{name}",
            models_dir=self.folder / "models",
            read_chosen=lambda: self.chosen,
            threads=threads,
        )


@dataclass(frozen=True)
class Share:
    """Of one of several processes that begin together; each takes the next image that nobody has taken."""

    begin: Any
    taken: Any
    told: Any

    def images(self, number: int) -> Iterator[int]:
        self.begin.wait()
        while True:
            with self.taken.get_lock():
                image = self.taken.value
                self.taken.value += 1
            if image >= number:
                return
            yield image


def main() -> int:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40, help="(%(default)s)")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, CORES, CORES + 1], help="%(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        setup = _set_up(Path(folder), options.images)
        figures = [*_tasks(setup), *batches.figures(setup.towers, CORES)]
        for processes, threads in [*((number, 1) for number in options.processes), (1, 2)]:
            figures += _images(setup, processes, threads)
        figures += _images(replace(setup, together=TOGETHER), CORES, 1)
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
    stated: dict[str, Any] = {"resample": 3, "do_center_crop": True, "crop_size": 224}
    stated |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    for name, size in (("clip", 224), ("dino", 256)):  # as CLIP and DINOv2 have it
        (models / name / "preprocessor_config.json").write_text(json.dumps({**stated, "size": size}))
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
    for _ in range(TIMES):
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


@dataclass(frozen=True)
class Taken:
    """By one process, or by several together."""

    began: float
    ended: float
    processor: float
    models: float = 0.0

    @property
    def wall(self) -> float:
        return self.ended - self.began

    @classmethod
    def together(cls, each: Sequence[Taken]) -> Taken:
        """From the first that begins to the last that ends."""
        return cls(
            min(taken.began for taken in each),
            max(taken.ended for taken in each),
            sum(taken.processor for taken in each),
            sum(taken.models for taken in each),
        )


def _images(setup: Setup, processes: int, threads: int) -> Iterator[Figure]:
    name = f"{processes} x {threads} thread" + (f", {setup.together} together" if setup.together > 1 else "")
    turns = [
        [
            _at_once(work, setup, f"{kind}-{processes}-{threads}-{setup.together}-{turn}", processes, threads)
            for kind, work in (("bare", _run_models), ("whole", _run_jobs))
        ]
        for turn in range(ROUNDS)
    ]

    for what, of in (("image", attrgetter("wall")), ("processor", attrgetter("processor"))):
        bare, whole = (
            statistics.median(1000 * of(taken) / len(setup.images) for taken in of_kind)
            for of_kind in zip(*turns, strict=True)
        )
        yield Figure(f"{what}, {name}", "ms", whole, bare)
    target = EFFICIENCY if (processes, threads, setup.together) == (CORES, 1, 1) else None
    efficiencies = [models.models / (jobs.wall * CORES) for models, jobs in turns]
    spread = f"{min(efficiencies):.3f} to {max(efficiencies):.3f}"
    yield Figure(f"efficiency, {name}", "", statistics.median(efficiencies), target=target, note=spread)


Work = Callable[[Setup, str, int, Share], None]


def _at_once(work: Work, setup: Setup, name: str, processes: int, threads: int) -> Taken:
    spawn = multiprocessing.get_context("spawn")
    share = Share(spawn.Barrier(processes), spawn.Value("i", 0), spawn.SimpleQueue())
    fixed = replace(setup, images=list(setup.images))
    started = [
        spawn.Process(target=work, args=(fixed, f"{name}-{number}", threads, share))
        for number in range(processes)
    ]
    for process in started:
        process.start()
    told = [share.told.get() for _ in started]
    for process in started:
        process.join()
        assert process.exitcode == 0
    return Taken.together(told)


def _run_jobs(setup: Setup, name: str, threads: int, share: Share) -> None:
    client = LocalComputeClient.create(setup.settings(name, threads), lambda _ids: None)
    jobs = [_submit(client, path, f"{name}-{number}") for number, path in enumerate(setup.images)]
    client.run(_submit(client, setup.images[0], f"{name}-warm"))
    images = share.images(len(jobs))
    some, done = list(itertools.islice(images, setup.together)), list[int]()
    began, busy = time.monotonic(), time.process_time()
    while some:
        client.run([job_id for number in some for job_id in jobs[number]])
        done += some
        some = list(itertools.islice(images, setup.together))
    share.told.put(Taken(began, time.monotonic(), time.process_time() - busy))
    states = {client.get(job_id).state for number in done for job_id in jobs[number]}
    assert states <= {JobState.COMPLETED}


def _run_models(setup: Setup, name: str, threads: int, share: Share) -> None:
    """As `_run_jobs`, with what the models of the first images were fed with, again and again."""
    client = LocalComputeClient.create(setup.settings(name, threads), lambda _ids: None)
    fed = []
    for number, path in enumerate(setup.images[:FED_IMAGES]):
        with watched() as told:
            client.run(_submit(client, path, f"{name}-{number}"))
        fed.append(told.fed)
    feeds = itertools.cycle(fed)
    images = share.images(len(setup.images))
    seconds, image = 0.0, next(images, None)
    first, busy = time.monotonic(), time.process_time()
    while image is not None:
        began = time.monotonic()
        for model, feed, outputs in next(feeds):
            model.run(feed, outputs)
        seconds += time.monotonic() - began
        image = next(images, None)
    share.told.put(Taken(first, time.monotonic(), time.process_time() - busy, seconds))


def _submit(client: LocalComputeClient, path: Path, name: str) -> list[str]:
    faces = client.capabilities().models[TaskType.FACE_EMBEDDING].name
    params = {TaskType.FACE_DETECTION: {EMBED_FACES_WITH: faces}}
    return [client.submit(task, path, params.get(task, {}), f"{name}-{task}") for task in IMAGE_TASKS]


if __name__ == "__main__":
    sys.exit(main())
