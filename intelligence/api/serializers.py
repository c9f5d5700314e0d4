from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, TypeVar

from django.db.models import Model, QuerySet
from rest_framework import serializers

from entities.api.serializers import EntitySerializer, MillisecondsField, milliseconds
from entities.api.validation import WordBooleanField
from intelligence.models import (
    EntityJob,
    Face,
    FaceMatch,
)
from intelligence.vocabulary import JobStatus

T = TypeVar("T")
M = TypeVar("M", bound=Model)

JOB_WORDS = {JobStatus.PENDING: "queued", JobStatus.IN_PROGRESS: "in_progress"}


def as_json(serializer: serializers.BaseSerializer[T], items: Iterable[T]) -> list[Any]:
    return [serializer.to_representation(item) for item in items]


class RowSerializer(serializers.Serializer[M]):
    """Of lists that may be had without pages: thousands of rows at once.

    Each `source` is a column or an annotation: no method, and nothing that may be missing.
    """

    def plain(self, found: QuerySet[M]) -> QuerySet[M, Any]:
        """What is told of each, as a tuple: to make a model's object of it takes longer than all the rest."""
        return found.values_list(*dict.fromkeys(source for _, source, _ in self._columns), named=True)

    def to_representation(self, instance: Any) -> dict[str, Any]:
        """Of a row, or of a model's object."""
        return {
            name: None if (value := getattr(instance, source)) is None else write(value)
            for name, source, write in self._columns
        }

    @cached_property
    def _columns(self) -> list[tuple[str, str, Callable[[Any], Any]]]:
        """How each is read is found out once, not anew for each row."""
        return [(name, str(field.source), field.to_representation) for name, field in self.fields.items()]


class JobSerializer(serializers.Serializer[EntityJob]):
    """The keys of both generations of clients."""

    id = serializers.IntegerField()
    entity_id = serializers.IntegerField()
    image_id = serializers.IntegerField(source="entity_id")
    face_id = serializers.IntegerField(allow_null=True)
    job_id = serializers.SerializerMethodField()
    task_type = serializers.CharField()
    model = serializers.CharField()
    status = serializers.SerializerMethodField()
    progress = serializers.SerializerMethodField()
    attempts = serializers.IntegerField()
    created_at = MillisecondsField()
    updated_at = MillisecondsField()
    started_at = serializers.SerializerMethodField()
    completed_at = MillisecondsField(allow_null=True)
    error_message = serializers.SerializerMethodField()

    def get_job_id(self, job: EntityJob) -> str:
        return job.job_id or str(job.idempotency_key)

    def get_status(self, job: EntityJob) -> str:
        return JOB_WORDS.get(JobStatus(job.status), job.status)

    def get_progress(self, job: EntityJob) -> int:
        return 100 if job.status == JobStatus.COMPLETED else 0

    def get_started_at(self, job: EntityJob) -> int:
        return milliseconds(job.started_at or job.created_at)

    def get_error_message(self, job: EntityJob) -> str | None:
        return job.error_message or None


class FaceSerializer(RowSerializer[Face]):
    id = serializers.IntegerField()
    entity_id = serializers.IntegerField()
    image_id = serializers.IntegerField(source="entity_id")
    known_person_id = serializers.IntegerField(allow_null=True)
    bbox = serializers.DictField(child=serializers.FloatField(), help_text="x1, y1, x2, y2, each 0..1.")
    confidence = serializers.FloatField()
    quality = serializers.FloatField()
    landmarks = serializers.DictField(child=serializers.ListField(child=serializers.FloatField()))
    file_path = serializers.CharField(help_text="The aligned crop, relative to the media folder.")
    model = serializers.CharField()
    created_at = MillisecondsField()


class FaceMatchSerializer(serializers.Serializer[FaceMatch]):
    id = serializers.IntegerField()
    face_id = serializers.IntegerField()
    matched_face_id = serializers.IntegerField()
    similarity_score = serializers.SerializerMethodField()
    threshold = serializers.FloatField(help_text="The least similarity that counted.")
    model = serializers.CharField()
    rule = serializers.CharField()
    created_at = MillisecondsField()
    matched_face = FaceSerializer(allow_null=True)

    def get_similarity_score(self, match: FaceMatch) -> float:
        return min(1.0, max(0.0, match.similarity))


class SimilarEntitySerializer(serializers.Serializer[Any]):
    image_id = serializers.IntegerField()
    entity_id = serializers.IntegerField()
    score = serializers.FloatField(help_text="Cosine, 0..1.")
    entity = EntitySerializer(allow_null=True, help_text="Only with include_details.")


class SimilarEntitiesSerializer(serializers.Serializer[Any]):
    query_image_id = serializers.IntegerField()
    query_entity_id = serializers.IntegerField()
    results = SimilarEntitySerializer(many=True)


class SimilarFaceSerializer(serializers.Serializer[Any]):
    face_id = serializers.IntegerField()
    score = serializers.FloatField(help_text="Cosine, 0..1.")
    known_person_id = serializers.IntegerField(allow_null=True)
    face = FaceSerializer(allow_null=True)


class SimilarFacesSerializer(serializers.Serializer[Any]):
    query_face_id = serializers.IntegerField()
    results = SimilarFaceSerializer(many=True)


# --- What requests may ask ---


class SimilarEntitiesQuerySerializer(serializers.Serializer[Any]):
    space = serializers.ChoiceField(
        choices=["clip", "dino"],
        default="clip",
        help_text="clip: what it is about; dino: what it looks like.",
    )
    limit = serializers.IntegerField(min_value=1, max_value=50, default=5, help_text="How many at most.")
    score_threshold = serializers.FloatField(
        min_value=0,
        max_value=1,
        required=False,
        help_text="The least likeness that counts: 0.85 for clip, 0.7 for dino if not given.",
    )
    include_details = WordBooleanField(default=False, help_text="Each result with its whole entity.")


class SimilarFacesQuerySerializer(serializers.Serializer[Any]):
    limit = serializers.IntegerField(min_value=1, max_value=50, default=5, help_text="How many at most.")
    threshold = serializers.FloatField(
        min_value=0, max_value=1, default=0.7, help_text="The least likeness that counts."
    )


class TextField(serializers.CharField):
    """Text only: numbers are not taken for it."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)
