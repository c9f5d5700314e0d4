"""One small applier a kind of result. Each is called with the entities locked, and may be called again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Protocol, TypeVar

from django.db import transaction

from entities.storage import EntityStorageService
from intelligence import crops, hints, marks
from intelligence.compute.base import DetectedFace, EmbeddingResult, FaceDetectionResult, JobResult
from intelligence.facts import ImageFacts
from intelligence.forget import Forgetter
from intelligence.models import EntityJob, Face, ImageIntelligence
from intelligence.people import carrying
from intelligence.vocabulary import JobStatus, TaskType
from intelligence.wanted_models import WantedModels
from vectors import QdrantVectorStore, VectorPoint


class ResultError(ValueError):
    """The result is not one of the kind that was asked for; asking again would not help."""


Completed = tuple[EntityJob, JobResult]

Facts = Mapping[int, ImageFacts]
"""Of each entity that the jobs are of."""


class Applier(Protocol):
    def apply(self, completed: Sequence[Completed], facts: Facts) -> Sequence[Completed]:
        """Answers what came along, to be applied as well: jobs of a later task, written down by now."""


@dataclass(frozen=True)
class ImageEmbeddingApplier:
    store: QdrantVectorStore

    def apply(self, completed: Sequence[Completed], facts: Facts) -> Sequence[Completed]:
        _upsert(self.store, completed, facts, _point_of_image)
        # Near-duplicates are to be looked for, by their DINO vectors.
        marks.note(job.entity_id for job, _ in completed if job.task_type == TaskType.DINO_EMBEDDING)
        return ()


@dataclass(frozen=True)
class FaceEmbeddingApplier:
    store: QdrantVectorStore

    def apply(self, completed: Sequence[Completed], facts: Facts) -> Sequence[Completed]:
        _upsert(self.store, completed, facts, _point_of_face)
        transaction.on_commit(hints.recognise)
        return ()


def _upsert(
    store: QdrantVectorStore,
    completed: Sequence[Completed],
    facts: Facts,
    point_of: Callable[[EntityJob, EmbeddingResult, ImageFacts], VectorPoint],
) -> None:
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
    """Replaces the images' faces and has an embedding of each asked for, unless it came along. No face at all
    is a result.
    """

    storage: EntityStorageService
    forgetter: Forgetter
    models: WantedModels

    def apply(self, completed: Sequence[Completed], facts: Facts) -> Sequence[Completed]:
        found = _without_removed(
            {job: _expect(FaceDetectionResult, result).faces for job, result in completed}
        )
        faces = {job: self._new_faces(job, each) for job, each in found.items()}
        contents = {job.entity_id: job.md5 for job in found}
        replaced = list(Face.objects.filter(entity_id__in=contents))
        new = Face.objects.bulk_create(face for of_job in faces.values() for face in of_job)
        carrying.carry_over(contents, replaced, new)
        self.forgetter.forget_faces(contents, [face.pk for face in replaced])
        embedded = self._embedded(found)
        _show_found(found, embedded)
        return _jobs_that_came_along(
            (job, face, each.embedding)
            for job in embedded
            for face, each in zip(faces[job], found[job], strict=True)
        )

    def _embedded(self, found: Mapping[EntityJob, Sequence[DetectedFace]]) -> set[EntityJob]:
        """All of whose faces were embedded with the leading model; the others get jobs for theirs."""
        if not any(face.embedding for each in found.values() for face in each):
            return set()
        leading = self.models.wanted()[TaskType.FACE_EMBEDDING][0]
        return {
            job
            for job, each in found.items()
            if each and all(face.embedding and face.embedding.model == leading for face in each)
        }

    def _new_faces(self, job: EntityJob, found: Sequence[DetectedFace]) -> list[Face]:
        """With their crops; not yet in the table."""
        paths = crops.write(self.storage, job, [face.crop for face in found])
        transaction.on_commit(partial(crops.remove_others, self.storage, job.entity_id, keep=paths))
        return [
            Face(**_face_fields(face), entity_id=job.entity_id, model=job.model, file_path=path)
            for face, path in zip(found, paths, strict=True)
        ]


def _without_removed(
    found: Mapping[EntityJob, Sequence[DetectedFace]],
) -> dict[EntityJob, Sequence[DetectedFace]]:
    """What a user has removed does not come back."""
    places = carrying.removed_places({job.entity_id: job.md5 for job in found})
    return {
        job: [face for face in faces if not carrying.is_at(places.get(job.entity_id, ()), asdict(face.bbox))]
        for job, faces in found.items()
    }


def _show_found(found: Mapping[EntityJob, Sequence[DetectedFace]], embedded: Collection[EntityJob]) -> None:
    alike: dict[tuple[int, JobStatus], list[int]] = defaultdict(list)
    for job, faces in found.items():
        asked = JobStatus.QUEUED if job in embedded else JobStatus.PENDING
        alike[len(faces), asked if faces else JobStatus.COMPLETED].append(job.entity_id)
    for (number, status), entity_ids in alike.items():
        ImageIntelligence.objects.filter(pk__in=entity_ids).update(
            face_count=number, face_embedding_status=status
        )


def _jobs_that_came_along(
    embedded: Iterable[tuple[EntityJob, Face, EmbeddingResult | None]],
) -> list[Completed]:
    """Of faces that were embedded where they were found. Each has its job, as if it had been asked for."""
    results = [(job, face, result) for job, face, result in embedded if result is not None]
    jobs = EntityJob.objects.bulk_create(
        EntityJob(
            entity_id=job.entity_id,
            face=face,
            task_type=TaskType.FACE_EMBEDDING,
            md5=job.md5,
            model=result.model,
            status=JobStatus.IN_PROGRESS,
            backend=job.backend,
            attempts=1,
            started_at=job.started_at,
        )
        for job, face, result in results
    )
    return [(job, result) for job, (_, _, result) in zip(jobs, results, strict=True)]


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
