"""Builds what a worker needs, once per process, and closes it at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from django.conf import settings
from django.utils.module_loading import import_string

from entities import tallies
from entities.storage import EntityStorageService
from intelligence import hints
from intelligence.appliers import Applier, FaceDetectionApplier, FaceEmbeddingApplier, ImageEmbeddingApplier
from intelligence.callbacks import JobCallbackHandler
from intelligence.compute.base import ComputeClient, StartJobs
from intelligence.compute.local import SpoolComputeClient
from intelligence.encoder import QueryEncoder
from intelligence.forget import Forgetter
from intelligence.jobs import JobSubmissionService
from intelligence.near_duplicates import DuplicateKeeper
from intelligence.polling import JobPoller
from intelligence.recognition.recluster import Recluster
from intelligence.recognition.recogniser import Recogniser
from intelligence.reconcile import MInsightProcessor
from intelligence.reembedding import Reembedding
from intelligence.sweeps import Sweeper
from intelligence.upkeep import Upkeep
from intelligence.vector_audit import VectorAudit
from intelligence.vocabulary import TaskType
from intelligence.wanted_models import WantedModels
from vectors import close_stores, get_clip_store, get_dino_store, get_face_store

ClientFactory = Callable[[StartJobs], ComputeClient]


@dataclass(frozen=True)
class IntelligenceProcessingService:
    client: ComputeClient
    processor: MInsightProcessor
    jobs: JobSubmissionService
    callbacks: JobCallbackHandler
    sweeper: Sweeper
    poller: JobPoller
    upkeep: Upkeep
    reembedding: Reembedding
    audit: VectorAudit
    encoder: QueryEncoder
    recogniser: Recogniser
    recluster: Recluster

    @classmethod
    def create(cls) -> Self:
        """With the compute client that the configuration names: the web side must not import any."""
        make_client: ClientFactory = import_string(settings.COMPUTE_CLIENT_FACTORY)
        client = make_client(hints.infer)
        if isinstance(client, SpoolComputeClient):
            client.on_answer = count_answer
        return cls.of(client, EntityStorageService.from_settings())

    @classmethod
    def of(cls, client: ComputeClient, storage: EntityStorageService) -> Self:
        clip, dino, face = get_clip_store(), get_dino_store(), get_face_store()
        forgetter = Forgetter(clip, dino, face, storage)
        stores = {
            TaskType.CLIP_EMBEDDING: clip,
            TaskType.DINO_EMBEDDING: dino,
            TaskType.FACE_EMBEDDING: face,
        }
        models = WantedModels(client, stores)
        jobs = JobSubmissionService(
            client, storage, models, settings.COMPUTE_JOBS_OUTSTANDING, settings.COMPUTE_JOB_ATTEMPTS
        )
        reembedding = Reembedding(jobs)
        appliers: dict[TaskType, Applier] = {
            TaskType.FACE_DETECTION: FaceDetectionApplier(storage, forgetter, models),
            TaskType.CLIP_EMBEDDING: ImageEmbeddingApplier(clip),
            TaskType.DINO_EMBEDDING: ImageEmbeddingApplier(dino),
            TaskType.FACE_EMBEDDING: FaceEmbeddingApplier(face),
        }
        processor = MInsightProcessor(forgetter)
        callbacks = JobCallbackHandler(
            client,
            jobs,
            appliers,
            deadline=timedelta(seconds=settings.COMPUTE_JOB_DEADLINE_SECONDS),
            queue_deadline=timedelta(seconds=settings.COMPUTE_QUEUE_DEADLINE_SECONDS),
            delete_ended=settings.COMPUTE_DELETE_ENDED_JOBS,
        )
        return cls(
            client=client,
            processor=processor,
            jobs=jobs,
            callbacks=callbacks,
            sweeper=Sweeper(client, jobs, processor, reembedding),
            poller=JobPoller(client, callbacks.finish_jobs),
            upkeep=Upkeep(clip, dino, face, DuplicateKeeper(dino)),
            reembedding=reembedding,
            audit=VectorAudit(models),
            encoder=QueryEncoder(client, storage, models),
            recogniser=Recogniser(models, face),
            recluster=Recluster(models, face),
        )

    def shutdown(self) -> None:
        self.client.close()
        close_stores()


def count_answer(task: TaskType, model: str, seconds: float) -> None:
    tallies.add("inference", task, model, amount=seconds)


_lock = threading.Lock()
_service: IntelligenceProcessingService | None = None


def get_processing() -> IntelligenceProcessingService:
    """The process's own; made at the first use, so that a forked worker child makes its own."""
    global _service  # noqa: PLW0603  (one per process is the point)
    with _lock:
        if _service is None:
            _service = IntelligenceProcessingService.create()
        return _service


def shutdown_processing() -> None:
    global _service  # noqa: PLW0603
    with _lock:
        if _service is not None:
            _service.shutdown()
            _service = None
