"""What every compute client speaks: the protocol, its results and its errors. No Django here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from intelligence.vocabulary import TaskType

Vector = NDArray[np.float32]
"""One embedding: shape (dimension,), length 1."""

Point = tuple[float, float]
"""x, y of the upright image, each 0..1 of its width or height."""

StartJobs = Callable[[Sequence[str]], None]
"""Asks for the jobs with these ids to be run soon, on a machine that can."""

EMBED_FACES_WITH = "embed_faces_with"
"""A param of face detection that our own workers heed: a model's name. It saves a job for each face."""

StillWanted = Callable[[Sequence[str]], Collection[str]]
"""Of these jobs' ids, those whose results somebody waits for."""


@dataclass(frozen=True)
class BoundingBox:
    """Corners of the upright image, 0..1 of its width and height, x1 < x2 and y1 < y2."""

    x1: float
    y1: float
    x2: float
    y2: float


@dataclass(frozen=True)
class Landmarks:
    """Five points, named from the person's own side: the right eye lies further left in the picture."""

    right_eye: Point
    left_eye: Point
    nose_tip: Point
    mouth_right: Point
    mouth_left: Point


@dataclass(frozen=True)
class EmbeddingResult:
    vector: Vector
    model: str


@dataclass(frozen=True)
class DetectedFace:
    bbox: BoundingBox
    landmarks: Landmarks
    confidence: float
    """0..1; whether it is a calibrated probability is the model's affair."""
    quality: float
    """0..1; how well the crop serves recognition."""
    crop: bytes
    """The aligned face, 112x112, as PNG."""
    embedding: EmbeddingResult | None = None
    """Of the crop, where the job asked for it and it was to be had."""


@dataclass(frozen=True)
class FaceDetectionResult:
    faces: tuple[DetectedFace, ...]
    model: str


JobResult = FaceDetectionResult | EmbeddingResult


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True)
class JobReport:
    state: JobState
    result: JobResult | None = None  # there when completed
    error: str = ""  # there when failed, in words for the image's owner
    permanent: bool = True  # of a failure: asking again, as a new job, will not help


@dataclass(frozen=True)
class ModelInfo:
    """The model that answers a task now. Vectors of two names are never compared."""

    name: str
    dimension: int | None = None  # of its vectors; None for a detector
    same_person_from: float | None = None
    """The cosine from which two good crops show one person; None: it recognises nobody."""
    understands_text: bool = False
    near_duplicates_from: float | None = None
    """The cosine from which two images are copies of one, measured for this model; None: nobody has."""

    @property
    def recognises_people(self) -> bool:
        return self.same_person_from is not None


@dataclass(frozen=True)
class Capabilities:
    models: Mapping[TaskType, ModelInfo]
    """Which answers where a job names no model."""
    summary: str
    """One line for people: what is active, what it can and cannot do."""
    further: Mapping[TaskType, tuple[ModelInfo, ...]] = field(default_factory=dict)
    """Which answer where a job names one of them in its params, as `model`."""

    def offered(self, task: TaskType) -> Mapping[str, ModelInfo]:
        """By name."""
        return {model.name: model for model in (self.models[task], *self.further.get(task, ()))}


class ComputeError(Exception):
    """A call to compute went wrong. Trying again helps unless it is permanent."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


class UnknownJobError(ComputeError):
    """Compute has never heard of this job, or has forgotten it. Submitting it again helps."""


class ComputeUnavailableError(ComputeError):
    """Compute does not answer, or lets nobody in. That says nothing about the job: no attempt is counted."""


class RunDiedError(ComputeError):
    """What ran the jobs died at it, or was ended for taking too long. These have not ended, and may be run
    again."""

    def __init__(self, message: str, job_ids: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.job_ids = job_ids


@dataclass(frozen=True)
class ServiceSettings:
    """A remote compute service, and who we are there. Without a name we come as a guest."""

    url: str
    auth_url: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    models: str = "remote"
    """Names its set of models, as it does not: another name means that all is computed anew."""
    timeout_seconds: float = 120.0
    """The longest that one request may take, its upload or download included."""


@dataclass(frozen=True)
class ChosenModel:
    """Model files that are in use for a task."""

    task: TaskType
    name: str
    """Of a model in the models folder, or `baseline`."""
    family: str = ""
    """How a face model is fed, where nothing is known of it; empty: as its layout suggests."""


ReadChosen = Callable[[], tuple[ChosenModel, ...]]
"""The models in use now; of each task the first leads. Cheap enough to be asked every second.
ComputeUnavailableError while nobody can tell."""


@dataclass(frozen=True)
class ComputeSettings:
    """All that any client may need; each takes its own part."""

    spool: Path
    """Folder of the jobs that run on this installation's own workers; shared by all of them."""
    clip_dimension: int = 512
    dino_dimension: int = 384
    face_dimension: int = 512
    face_detection_threshold: float = 0.7
    face_detection_nms: float = 0.4
    max_image_pixels: int = 200_000_000
    threads: int = 1
    models_dir: Path = Path("models")
    read_chosen: ReadChosen = tuple
    idle_seconds: float = 300.0
    """After so long without use a model's memory is given back."""
    image_seconds: float = 300.0
    """The longest that one image may take, where it is looked at in a process of its own."""
    service: ServiceSettings | None = None


class ComputeClient(Protocol):
    """Takes jobs and answers for them. Safe to use from several threads.

    `start` follows `submit` once the ids are written down, so that no result can arrive before its job is
    known; a service that begins at `submit` does nothing there.
    """

    backend: str
    runs_here: bool
    """True: workers of this installation run its jobs (RunsJobs), and the same key gives the same job until
    that is cancelled. False: a service runs them and has to be asked how far they are. It knows no keys, so
    that a repeated `submit` makes another job; the caller keeps the id of one and cancels the others.
    """

    @classmethod
    def create(cls, settings: ComputeSettings, start_jobs: StartJobs) -> Self: ...

    def submit(
        self, task: TaskType, image: Path, params: Mapping[str, object], idempotency_key: str
    ) -> str: ...

    def start(self, job_ids: Sequence[str]) -> None: ...

    def get(self, job_id: str) -> JobReport: ...

    def cancel(self, job_id: str) -> None:
        """Forgets the job and all it left behind; an unknown one is fine."""

    def capabilities(self) -> Capabilities: ...

    def close(self) -> None: ...


class RunsJobs(Protocol):
    """The other half of a client whose jobs run on this installation's own workers: what a worker calls."""

    backend: str
    """As its jobs have it."""

    @property
    def images_together(self) -> int:
        """So many images are looked at in less time together than one by one; 1: none are."""

    def run(self, job_ids: Sequence[str]) -> tuple[str, ...]:
        """Runs those that still wait. Answers which have ended, now or before; forgotten ones have not.
        RunDiedError at the first image that was the end of whatever looked at it; it names the jobs of
        images that were looked at together with it, too.
        """

    def purge(self, older_than: timedelta, wanted: StillWanted) -> int:
        """Removes the jobs that nothing has touched for so long and nobody wants; answers how many."""
