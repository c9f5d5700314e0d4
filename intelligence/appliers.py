"""One small applier a kind of result. Each is called with the entities locked, and may be called again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Protocol, TypeVar

from django.db import transaction

from entities.storage import EntityStorageService
from intelligence import crops, marks
from intelligence.compute.base import DetectedFace, EmbeddingResult, FaceDetectionResult, JobResult
from intelligence.facts import ImageFacts, image_facts
from intelligence.forget import Forgetter
from intelligence.models import EntityJob, Face, ImageIntelligence
from intelligence.vocabulary import JobStatus
from vectors import QdrantVectorStore, VectorPoint


class ResultError(ValueError):
    """The result is not one of the kind that was asked for; asking again would not help."""


Completed = tuple[EntityJob, JobResult]


class Applier(Protocol):
    def apply(self, completed: Sequence[Completed]) -> None: ...


@dataclass(frozen=True)
class ImageEmbeddingApplier:
    store: QdrantVectorStore

    def apply(self, completed: Sequence[Completed]) -> None:
        _upsert(self.store, completed, _point_of_image)
        marks.note(job.entity_id for job, _ in completed)  # its near-duplicates are to be looked for


@dataclass(frozen=True)
class FaceEmbeddingApplier:
    store: QdrantVectorStore

    def apply(self, completed: Sequence[Completed]) -> None:
        _upsert(self.store, completed, _point_of_face)


def _upsert(
    store: QdrantVectorStore,
    completed: Sequence[Completed],
    point_of: Callable[[EntityJob, EmbeddingResult, ImageFacts], VectorPoint],
) -> None:
    facts = image_facts({job.entity_id for job, _ in completed})
    points: dict[str, list[VectorPoint]] = defaultdict(list)
    for job, result in completed:
        points[job.model].append(point_of(job, _expect(EmbeddingResult, result), facts[job.entity_id]))
    for model, of_model in points.items():
        store.upsert(of_model, model=model)


def _point_of_image(job: EntityJob, result: EmbeddingResult, facts: ImageFacts) -> VectorPoint:
    payload = {"entity_id": job.entity_id, "md5": job.md5, **facts.payload()}
    return VectorPoint(job.entity_id, result.vector, payload)


def _point_of_face(job: EntityJob, result: EmbeddingResult, facts: ImageFacts) -> VectorPoint:
    assert job.face is not None
    payload = {
        "entity_id": job.entity_id,
        "face_id": job.face.pk,
        "known_person_id": job.face.known_person_id,
        "md5": job.md5,
        "hidden": facts.hidden,
    }
    return VectorPoint(job.face.pk, result.vector, payload)


@dataclass(frozen=True)
class FaceDetectionApplier:
    """Replaces the images' faces and has an embedding of each asked for. No face at all is a result."""

    storage: EntityStorageService
    forgetter: Forgetter

    def apply(self, completed: Sequence[Completed]) -> None:
        found = {job: _expect(FaceDetectionResult, result).faces for job, result in completed}
        faces = [face for job, each in found.items() for face in self._new_faces(job, each)]
        replaced = Face.objects.filter(entity_id__in=[job.entity_id for job in found])
        self.forgetter.forget_faces(list(replaced.values_list("pk", flat=True)))
        Face.objects.bulk_create(faces)
        entities_with: dict[int, list[int]] = defaultdict(list)
        for job, each in found.items():
            entities_with[len(each)].append(job.entity_id)
        for number, entity_ids in entities_with.items():
            ImageIntelligence.objects.filter(pk__in=entity_ids).update(
                face_count=number,
                face_embedding_status=JobStatus.PENDING if number else JobStatus.COMPLETED,
            )

    def _new_faces(self, job: EntityJob, found: Sequence[DetectedFace]) -> list[Face]:
        """With their crops; not yet in the table."""
        paths = crops.write(self.storage, job, [face.crop for face in found])
        transaction.on_commit(partial(crops.remove_others, self.storage, job.entity_id, keep=paths))
        return [
            Face(**_face_fields(face), entity_id=job.entity_id, model=job.model, file_path=path)
            for face, path in zip(found, paths, strict=True)
        ]


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
