"""Jobs that run on this installation's own workers: handed in here, run there, kept in a spool between."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Self

from intelligence.compute.base import (
    EMBED_FACES_WITH,
    Capabilities,
    ComputeError,
    ComputeSettings,
    ComputeUnavailableError,
    DetectedFace,
    EmbeddingResult,
    FaceDetectionResult,
    JobReport,
    JobResult,
    JobState,
    ModelInfo,
    StartJobs,
    StillWanted,
    UnknownJobError,
    Vector,
)
from intelligence.compute.following import FollowingModels
from intelligence.compute.image_models import FixedModels, ImageModels, ModelSource, SeveralModels
from intelligence.compute.outcome import UnreadableOutcomeError, error_document, read_report, result_document
from intelligence.compute.picture import Picture
from intelligence.compute.spool import JobRequest, Spool, is_job_id
from intelligence.compute.together import Prepared, Together, engine_of_several, images_together
from intelligence.compute.validation import check_result
from intelligence.vocabulary import TaskType

logger = logging.getLogger(__name__)

OnAnswer = Callable[[TaskType, str, float], None]
"""Told of each answer of a model, and how many seconds it took."""


class SpoolComputeClient:
    """A ComputeClient and, for the workers, a RunsJobs. Processes with the same spool see the same jobs.

    A job is queued until it has ended: whether a worker is at it, and how often one has died of it, is for
    the caller of `run` to know.
    """

    backend = "spool"
    runs_here = True

    def __init__(
        self, settings: ComputeSettings, models: ImageModels | ModelSource, start_jobs: StartJobs
    ) -> None:
        self._max_pixels = settings.max_image_pixels
        self._spool = Spool(settings.spool)
        self._source = models if isinstance(models, ModelSource) else FixedModels(models)
        self._start_jobs = start_jobs
        self.on_answer: OnAnswer = lambda _task, _model, _seconds: None

    def submit(self, task: TaskType, image: Path, params: Mapping[str, object], idempotency_key: str) -> str:
        if not is_job_id(idempotency_key):
            message = "A job's key must be 1 to 64 of the characters A-Z a-z 0-9 _ -."
            raise ComputeError(message, permanent=True)
        _, model = self._chosen(task, params)
        if task is not TaskType.FACE_DETECTION:  # of which the leading model alone does any
            params = {**params, "model": model.name}  # another may lead by the time it runs
        self._spool.add(idempotency_key, JobRequest(task=task, image=image.absolute(), params=params))
        return idempotency_key

    def start(self, job_ids: Sequence[str]) -> None:
        if job_ids:
            self._start_jobs(job_ids)

    def get(self, job_id: str) -> JobReport:
        outcome = self._spool.outcome(job_id)
        if outcome is None:
            return JobReport(JobState.QUEUED)
        try:
            return read_report(outcome)
        except UnreadableOutcomeError as error:
            self._spool.discard(job_id)
            raise UnknownJobError(f"The outcome of job {job_id} was unreadable.") from error

    def cancel(self, job_id: str) -> None:
        self._spool.discard(job_id)

    def capabilities(self) -> Capabilities:
        return self._source.now().capabilities()

    def look_again(self) -> None:
        """Whether other models were chosen meanwhile."""
        self._source.look_again()

    def close(self) -> None:
        """Nothing stays open between calls."""

    @property
    def images_together(self) -> int:
        try:
            return images_together(self._source.now())
        except ComputeUnavailableError:  # its jobs will say so
            return 1

    def run(self, job_ids: Sequence[str]) -> tuple[str, ...]:
        """Those that waited longest first, no more images at a time than some model gains by."""
        waiting = iter(self._waiting_by_image(job_ids).items())
        while some := dict(itertools.islice(waiting, self.images_together)):
            self._run_images(some)
        return tuple(job_id for job_id in job_ids if self._has_ended(job_id))

    def embed_picture(self, task: TaskType, image: Path, model: str = "") -> EmbeddingResult:
        """At once, without a job; by the current model unless another is named. Raises ComputeError."""
        params = {"model": model} if model else {}
        picture = Picture(image, max_pixels=self._max_pixels)
        with self._in_words(task):
            result = self._ask_models(JobRequest(task=task, image=image, params=params), picture)
        assert isinstance(result, EmbeddingResult)
        return result

    def embed_text(self, text: str, model: str = "") -> EmbeddingResult:
        """At once, to be compared with CLIP embeddings of that model. Raises ComputeError."""
        models, chosen = self._chosen(TaskType.CLIP_EMBEDDING, {"model": model} if model else {})
        if not chosen.understands_text:
            raise ComputeError(f"The model {chosen.name} understands no text.", permanent=True)
        with self._in_words("text"):
            if isinstance(models, SeveralModels):
                vector = models.embed_text_with(chosen.name, text)
            else:
                vector = models.embed_text(text)
            result = EmbeddingResult(vector=vector, model=chosen.name)
            check_result(result, dimension=chosen.dimension)
        return result

    @contextmanager
    def _in_words(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._model_failures() as error:
            logger.warning("%s failed", what, exc_info=True)
            reason = f"The model of {what} could not cope with this ({type(error).__name__})."
            raise ComputeError(reason, permanent=True) from error

    def purge(self, older_than: timedelta, wanted: StillWanted) -> int:
        return self._spool.purge(older_than, wanted)

    def unwanted(self, older_than: timedelta, wanted: StillWanted) -> list[str]:
        """What `purge` would remove."""
        return [files[0].stem for files in self._spool.unwanted(older_than, wanted)]

    def _waiting_by_image(self, job_ids: Iterable[str]) -> dict[Path, dict[str, JobRequest]]:
        by_image: dict[Path, dict[str, JobRequest]] = {}
        for job_id in job_ids:
            with suppress(UnknownJobError):
                if not self._spool.has_ended(job_id):
                    request = self._spool.request(job_id)
                    by_image.setdefault(request.image, {})[job_id] = request
        return by_image

    def _run_images(self, by_image: Mapping[Path, Mapping[str, JobRequest]]) -> None:
        """One after the other, each decoded once and let go, but for what a model looks at together."""
        together = Together(self._run_together) if len(by_image) > 1 else None
        for image, jobs in by_image.items():
            self._run_image(image, jobs, together)
        if together is not None:
            together.end()

    def _run_image(self, image: Path, jobs: Mapping[str, JobRequest], together: Together | None) -> None:
        try:
            picture = Picture(image, max_pixels=self._max_pixels)
        except (ComputeError, MemoryError) as error:
            for job_id in jobs:
                self._fail(job_id, _in_words(error))
            return
        for job_id, request in jobs.items():
            prepared = None
            with self._its_failures(job_id, request.task):
                if together is not None:
                    prepared = self._prepared(job_id, request, picture)
                if prepared is None:
                    self._spool.finish(job_id, result_document(self._ask_models(request, picture)))
            if together is not None and prepared is not None:
                together.add(prepared)

    @contextmanager
    def _its_failures(self, job_id: str, task: TaskType) -> Iterator[None]:
        """What goes wrong in here is this job's end, and no other's."""
        try:
            yield
        except (ComputeError, MemoryError) as error:
            self._fail(job_id, _in_words(error))
        except self._model_failures() as error:
            logger.warning("%s of job %s failed", task, job_id, exc_info=True)
            reason = f"The model of {task} could not cope with this image ({type(error).__name__})."
            self._fail(job_id, ComputeError(reason, permanent=True))

    def _prepared(self, job_id: str, request: JobRequest, picture: Picture) -> Prepared | None:
        """None where its model takes one image at a time."""
        models, model = self._chosen(request.task, request.params)
        engine = engine_of_several(models, request.task, model.name)
        if engine is None:
            return None
        began = time.perf_counter()
        pixels = engine.prepared(picture)
        return Prepared(job_id, request.task, model, engine, pixels, time.perf_counter() - began)

    def _run_together(self, jobs: Sequence[Prepared]) -> None:
        """One by one, if together they are too much: only what fails alone has failed."""
        engine, began = jobs[0].engine, time.perf_counter()
        try:
            vectors = engine.embed_prepared([job.pixels for job in jobs])
        except self._failures() as error:
            if len(jobs) > 1:
                logger.info("%d images are looked at one by one: %s", len(jobs), error)
                for job in jobs:
                    self._run_together([job])
                return
            with self._its_failures(jobs[0].job_id, jobs[0].task):
                raise
        else:
            seconds = (time.perf_counter() - began) / len(jobs)
            for job, vector in zip(jobs, vectors, strict=True):
                with self._its_failures(job.job_id, job.task):
                    result = EmbeddingResult(vector, job.model.name)
                    check_result(result, dimension=job.model.dimension)
                    self.on_answer(job.task, job.model.name, job.seconds + seconds)
                    self._spool.finish(job.job_id, result_document(result))

    def _ask_models(self, request: JobRequest, picture: Picture) -> JobResult:
        models, model = self._chosen(request.task, request.params)
        began = time.perf_counter()
        result: JobResult
        if request.task is TaskType.FACE_DETECTION:
            faces = models.detect_faces(picture)
            embedder = _embedder(models, request.params)
            if embedder is not None:
                faces = tuple(self._with_embedding(face, models, embedder) for face in faces)
            result = FaceDetectionResult(faces=faces, model=model.name)
        else:
            result = EmbeddingResult(_vector(models, model, request.task, picture), model.name)
        check_result(result, dimension=model.dimension)
        self.on_answer(request.task, model.name, time.perf_counter() - began)
        return result

    def _with_embedding(self, face: DetectedFace, models: ImageModels, model: ModelInfo) -> DetectedFace:
        """As it is where that goes wrong: then the face gets a job of its own, which says why."""
        try:
            picture = Picture(BytesIO(face.crop), max_pixels=self._max_pixels)
            vector = _vector(models, model, TaskType.FACE_EMBEDDING, picture)
            embedding = EmbeddingResult(vector, model.name)
            check_result(embedding, dimension=model.dimension)
        except self._failures() as error:
            logger.info("A face is left to a job of its own: %s", error)
            return face
        return replace(face, embedding=embedding)

    def _chosen(self, task: TaskType, params: Mapping[str, object]) -> tuple[ImageModels, ModelInfo]:
        """Asked when the job is handed in, and again when it runs: other models may be in use by then."""
        found = _offered(self._source.now(), task, params)
        if found is None:
            self._source.look_again()
            found = _offered(self._source.now(), task, params)
        if found is None:
            asked = f"No model {params['model']!r} is" if "model" in params else "No model is"
            raise ComputeError(f"{asked} active that does {task}.", permanent=True)
        return found

    def _failures(self) -> tuple[type[Exception], ...]:
        return (ComputeError, MemoryError, *self._model_failures())

    def _model_failures(self) -> tuple[type[Exception], ...]:
        return (ValueError, ArithmeticError, *self._source.now().failures)

    def _fail(self, job_id: str, error: ComputeError) -> None:
        self._spool.finish(job_id, error_document(error))

    def _has_ended(self, job_id: str) -> bool:
        try:
            return self._spool.has_ended(job_id)
        except UnknownJobError:
            return False


class LocalComputeClient(SpoolComputeClient):
    backend = "local"

    @classmethod
    def create(cls, settings: ComputeSettings, start_jobs: StartJobs) -> Self:
        # Imported here: whoever only hands in jobs by another client needs no OpenCV.
        from intelligence.compute.baseline.models import BaselineModels  # noqa: PLC0415
        from intelligence.compute.onnx.chosen import ChosenModels  # noqa: PLC0415

        chosen = ChosenModels(settings, BaselineModels(settings))
        return cls(settings, FollowingModels(settings.read_chosen, chosen.build), start_jobs)


def _offered(
    models: ImageModels, task: TaskType, params: Mapping[str, object]
) -> tuple[ImageModels, ModelInfo] | None:
    offered = models.capabilities()
    if task not in offered.models:
        return None
    name = str(params.get("model", offered.models[task].name))
    model = offered.offered(task).get(name)
    return None if model is None else (models, model)


def _embedder(models: ImageModels, params: Mapping[str, object]) -> ModelInfo | None:
    """The model that the faces are to be embedded with at once."""
    offered = models.capabilities().offered(TaskType.FACE_EMBEDDING)
    return offered.get(str(params.get(EMBED_FACES_WITH, "")))


def _vector(models: ImageModels, model: ModelInfo, task: TaskType, picture: Picture) -> Vector:
    if isinstance(models, SeveralModels):
        return models.embed_with(model.name, task, picture)
    return models.embed(task, picture)


def _in_words(error: ComputeError | MemoryError) -> ComputeError:
    if isinstance(error, ComputeError):
        return error
    return ComputeError("There was not enough memory to look at this image.")
