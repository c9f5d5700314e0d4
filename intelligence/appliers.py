"""One small applier a kind of result. Each is called with the entity locked, and may be called again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from typing import Protocol, TypeVar

from django.db import transaction

from entities.storage import EntityStorageService
from intelligence import crops
from intelligence.compute.base import DetectedFace, EmbeddingResult, FaceDetectionResult, JobResult
from intelligence.forget import Forgetter
from intelligence.models import EntityJob, Face, ImageIntelligence
from intelligence.vocabulary import JobStatus
from vectors import QdrantVectorStore, VectorPoint


class ResultError(ValueError):
    """The result is not one of the kind that was asked for; asking again would not help."""


class Applier(Protocol):
    def apply(self, job: EntityJob, result: JobResult) -> None: ...


@dataclass(frozen=True)
class ImageEmbeddingApplier:
    store: QdrantVectorStore

    def apply(self, job: EntityJob, result: JobResult) -> None:
        vector = _expect(EmbeddingResult, result).vector
        payload = {"entity_id": job.entity_id, "md5": job.md5}
        self.store.upsert([VectorPoint(job.entity_id, vector, payload)], model=job.model)


@dataclass(frozen=True)
class FaceEmbeddingApplier:
    store: QdrantVectorStore

    def apply(self, job: EntityJob, result: JobResult) -> None:
        vector = _expect(EmbeddingResult, result).vector
        assert job.face is not None
        payload = {
            "entity_id": job.entity_id,
            "face_id": job.face.pk,
            "known_person_id": job.face.known_person_id,
            "md5": job.md5,
        }
        self.store.upsert([VectorPoint(job.face.pk, vector, payload)], model=job.model)


@dataclass(frozen=True)
class FaceDetectionApplier:
    """Replaces the image's faces and has an embedding of each asked for. No face at all is a result."""

    storage: EntityStorageService
    forgetter: Forgetter

    def apply(self, job: EntityJob, result: JobResult) -> None:
        found = _expect(FaceDetectionResult, result).faces
        paths = crops.write(self.storage, job, [face.crop for face in found])
        replaced = list(Face.objects.filter(entity_id=job.entity_id).values_list("pk", flat=True))
        self.forgetter.forget_faces(replaced)
        Face.objects.bulk_create(
            Face(**_face_fields(face), entity_id=job.entity_id, model=job.model, file_path=path)
            for face, path in zip(found, paths, strict=True)
        )
        ImageIntelligence.objects.filter(pk=job.entity_id, md5=job.md5).update(
            face_count=len(found),
            face_embedding_status=JobStatus.PENDING if found else JobStatus.COMPLETED,
        )
        transaction.on_commit(partial(crops.remove_others, self.storage, job.entity_id, keep=paths))


def _face_fields(face: DetectedFace) -> dict[str, object]:
    return {
        "bbox": asdict(face.bbox),
        "landmarks": asdict(face.landmarks),
        "confidence": face.confidence,
        "quality": face.quality,
    }


Result = TypeVar("Result", bound=JobResult)


def _expect(kind: type[Result], result: JobResult) -> Result:
    if not isinstance(result, kind):
        raise ResultError(f"expected a {kind.__name__}, got a {type(result).__name__}")
    return result
