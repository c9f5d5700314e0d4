from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from simple_history.admin import SimpleHistoryAdmin

from entities.admin import NoWrites, thumbnail
from intelligence.models import (
    EntityJob,
    EntitySyncState,
    Face,
    FaceDecision,
    FaceMatch,
    ImageIntelligence,
    KnownPerson,
    PersonDistinction,
)


def face_picture(face: Face | None) -> str:
    if face is None:
        return ""
    return format_html(
        '<img src="{}" height="64" loading="lazy" alt="">', reverse("face-crop", args=[face.pk])
    )


@admin.register(ImageIntelligence)
class ImageIntelligenceAdmin(NoWrites, admin.ModelAdmin[ImageIntelligence]):
    list_display = (
        "picture",
        "entity_id",
        "processing_status",
        "face_detection_status",
        "clip_status",
        "dino_status",
        "face_count",
        "error_message",
        "updated_at",
    )
    list_filter = ("processing_status", "face_detection_status", "clip_status", "dino_status")
    list_select_related = ("entity",)
    show_full_result_count = False

    @admin.display(description="")
    def picture(self, row: ImageIntelligence) -> str:
        return thumbnail(row.entity)


@admin.register(EntityJob)
class EntityJobAdmin(NoWrites, admin.ModelAdmin[EntityJob]):
    list_display = (
        "picture",
        "id",
        "entity_id",
        "face_id",
        "task_type",
        "model",
        "status",
        "attempts",
        "error_message",
    )
    list_filter = ("status", "task_type", "backend", "model")
    list_select_related = ("entity",)
    search_fields = ("=entity__id", "job_id", "error_message")
    show_full_result_count = False

    @admin.display(description="")
    def picture(self, job: EntityJob) -> str:
        return thumbnail(job.entity)


@admin.register(Face)
class FaceAdmin(NoWrites, admin.ModelAdmin[Face]):
    list_display = (
        "picture",
        "id",
        "entity_id",
        "known_person",
        "assigned_by",
        "confidence",
        "quality",
        "model",
    )
    list_filter = ("assigned_by", "model")
    list_select_related = ("known_person",)
    show_full_result_count = False

    @admin.display(description="")
    def picture(self, face: Face) -> str:
        return face_picture(face)


@admin.register(KnownPerson)
class KnownPersonAdmin(SimpleHistoryAdmin):
    list_display = ("picture", "id", "name", "hidden", "updated_at")
    list_display_links = ("picture", "id", "name")
    list_filter = ("hidden",)
    list_select_related = ("cover_face",)
    search_fields = ("name",)
    raw_id_fields = ("cover_face",)

    @admin.display(description="")
    def picture(self, person: KnownPerson) -> str:
        return face_picture(person.cover_face)


@admin.register(FaceMatch)
class FaceMatchAdmin(NoWrites, admin.ModelAdmin[FaceMatch]):
    list_display = ("picture", "matched_picture", "similarity", "threshold", "rule", "model", "created_at")
    list_select_related = ("face", "matched_face")
    show_full_result_count = False

    @admin.display(description="face")
    def picture(self, match: FaceMatch) -> str:
        return face_picture(match.face)

    @admin.display(description="matched face")
    def matched_picture(self, match: FaceMatch) -> str:
        return face_picture(match.matched_face)


@admin.register(FaceDecision)
class FaceDecisionAdmin(NoWrites, admin.ModelAdmin[FaceDecision]):
    list_display = ("picture", "verdict", "person", "decided_by", "decided_at")
    list_select_related = ("face", "person")

    @admin.display(description="face")
    def picture(self, decision: FaceDecision) -> str:
        return face_picture(decision.face)


@admin.register(PersonDistinction)
class PersonDistinctionAdmin(NoWrites, admin.ModelAdmin[PersonDistinction]):
    list_display = ("person", "other", "decided_by", "decided_at")
    list_select_related = ("person", "other")


@admin.register(EntitySyncState)
class EntitySyncStateAdmin(NoWrites, admin.ModelAdmin[EntitySyncState]):
    list_display = ("last_version", "updated_at")
