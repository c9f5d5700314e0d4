from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join

from entities.admin import NoWrites, thumbnail
from intelligence import redo
from intelligence.error_classes import ERROR_CLASSES, OTHER, condition_of
from intelligence.figures import read_figures
from intelligence.models import (
    DuplicateCandidate,
    DuplicatePair,
    EntityJob,
    EntitySyncState,
    Face,
    FaceDecision,
    FaceMatch,
    ImageIntelligence,
    KnownPerson,
    ModelVersion,
    ModelVersionEvent,
    PeopleChange,
    PeopleOperation,
    PersonDistinction,
    SearchEncoding,
    TaskPause,
    UpkeepMark,
    VectorErrand,
)
from intelligence.people_admin.admin import KnownPersonAdmin
from intelligence.people_admin.forms import MAX_ID_DIGITS
from intelligence.vocabulary import JobStatus

COUNTED = 10_000
SHOWN_ON_A_PAGE = 100
"""Jobs or faces on the page of one image or person; the newest."""


def face_picture(face: Face | None) -> str:
    if face is None:
        return ""
    return format_html(
        '<img src="{}" height="64" loading="lazy" alt="">', reverse("face-crop", args=[face.pk])
    )


def _face_pictures(faces: QuerySet[Face]) -> str:
    links = (
        (reverse("admin:intelligence_face_change", args=[face.pk]), face.pk, face_picture(face))
        for face in faces.order_by("-pk")[:SHOWN_ON_A_PAGE]
    )
    return format_html_join(" ", '<a href="{}" title="face {}">{}</a>', links)


class RoughPaginator(Paginator[Any]):
    """Counts no further than anybody turns pages: counting a million rows takes longer than showing some."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # the admin's lists are of rows
        return rows.order_by()[:COUNTED].count()


class FindByEntity(admin.ModelAdmin[Any]):
    """Search by the entity's id: an index answers, where a search for a part of it would read all rows."""

    paginator = RoughPaginator
    show_full_result_count = False
    search_fields = ("entity__id",)
    search_help_text = "Id of the entity"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term:
            return queryset, False
        can_be_an_id = search_term.isdecimal() and len(search_term) <= MAX_ID_DIGITS
        return (queryset.filter(entity=search_term) if can_be_an_id else queryset.none()), False


@admin.register(ImageIntelligence)
class ImageIntelligenceAdmin(NoWrites, FindByEntity):
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
    list_display_links = ("picture", "entity_id")
    list_filter = ("processing_status", "face_detection_status", "clip_status", "dino_status")
    list_select_related = ("entity",)
    readonly_fields = ("large_picture", "faces", "jobs")

    def get_urls(self) -> list[URLPattern]:
        figures = path("figures/", self.admin_site.admin_view(self.figures), name="intelligence_figures")
        return [figures, *super().get_urls()]

    def figures(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "How the work stands",
            "figures": read_figures(),
        }
        return TemplateResponse(request, "admin/intelligence/figures.html", context)

    @admin.display(description="")
    def picture(self, row: ImageIntelligence) -> str:
        return thumbnail(row.entity)

    @admin.display(description="Picture")
    def large_picture(self, row: ImageIntelligence) -> str:
        return thumbnail(row.entity, height=256)

    @admin.display(description="Faces")
    def faces(self, row: ImageIntelligence) -> str:
        return _face_pictures(Face.objects.filter(entity_id=row.pk))

    @admin.display(description="Jobs, newest first")
    def jobs(self, row: ImageIntelligence) -> str:
        return _table_of_jobs(EntityJob.objects.filter(entity_id=row.pk).order_by("-pk")[:SHOWN_ON_A_PAGE])


def _table_of_jobs(jobs: Iterable[EntityJob]) -> str:
    rows = (
        (
            reverse("admin:intelligence_entityjob_change", args=[job.pk]),
            job.task_type if job.face_id is None else f"{job.task_type} of face {job.face_id}",
            job.model,
            job.status,
            job.attempts,
            job.completed_at.strftime("%Y-%m-%d %H:%M:%S") if job.completed_at else "",
            job.error_message,
        )
        for job in jobs
    )
    cells = "<td>{}</td>" * 5
    return format_html(
        "<table><tr><th>Task<th>Model<th>Status<th>Attempts<th>Ended<th>Error</tr>{}</table>",
        format_html_join("", f'<tr><td><a href="{{}}">{{}}</a></td>{cells}</tr>', rows),
    )


class ErrorClassFilter(admin.SimpleListFilter):
    """Of failed jobs only: an index leads to them."""

    title = "kind of failure"
    parameter_name = "failure"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*((each.name, each.label) for each in ERROR_CLASSES), (OTHER, "something else")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[EntityJob]) -> QuerySet[EntityJob]:
        if self.value() not in dict(self.lookups(request, None)):
            return queryset
        return queryset.filter(condition_of(str(self.value())), status=JobStatus.FAILED)


@admin.register(EntityJob)
class EntityJobAdmin(NoWrites, FindByEntity):
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
    list_display_links = ("picture", "id")
    # Not the model: its choices would be read from all rows.
    list_filter = ("status", "task_type", ErrorClassFilter)
    list_select_related = ("entity",)
    ordering = ("-id",)
    actions = ("retry", "discard")

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("intelligence.change_entityjob")

    @admin.action(description="Retry: ask again for what has failed", permissions=["steer"])
    def retry(self, request: HttpRequest, jobs: QuerySet[EntityJob]) -> None:
        number = redo.retry_jobs(jobs)
        self.message_user(request, f"{number} tasks are asked for again.")

    @admin.action(description="Discard: give up what has not ended", permissions=["steer"])
    def discard(self, request: HttpRequest, jobs: QuerySet[EntityJob]) -> None:
        number = redo.discard_jobs(jobs, by=request.user.get_username())
        self.message_user(request, f"{number} jobs are given up; a retry takes them up again.")

    @admin.display(description="")
    def picture(self, job: EntityJob) -> str:
        return thumbnail(job.entity)


@admin.register(Face)
class FaceAdmin(NoWrites, FindByEntity):
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
    list_display_links = ("picture", "id")
    list_filter = ("assigned_by",)
    list_select_related = ("known_person",)
    show_full_result_count = False
    readonly_fields = ("picture",)

    @admin.display(description="")
    def picture(self, face: Face) -> str:
        return face_picture(face)


admin.site.register(KnownPerson, KnownPersonAdmin)


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


@admin.register(PeopleOperation)
class PeopleOperationAdmin(NoWrites, admin.ModelAdmin[PeopleOperation]):
    list_display = ("at", "kind", "summary", "by")
    show_full_result_count = False


@admin.register(PeopleChange)
class PeopleChangeAdmin(NoWrites, admin.ModelAdmin[PeopleChange]):
    list_display = ("operation_id", "of", "row", "face", "before", "after")
    show_full_result_count = False


@admin.register(EntitySyncState)
class EntitySyncStateAdmin(NoWrites, admin.ModelAdmin[EntitySyncState]):
    list_display = ("last_version", "updated_at")


@admin.register(TaskPause)
class TaskPauseAdmin(NoWrites, admin.ModelAdmin[TaskPause]):
    list_display = ("task_type", "paused_by", "paused_at")


@admin.register(UpkeepMark)
class UpkeepMarkAdmin(NoWrites, admin.ModelAdmin[UpkeepMark]):
    list_display = ("pk", "entity_id")


@admin.register(SearchEncoding)
class SearchEncodingAdmin(NoWrites, admin.ModelAdmin[SearchEncoding]):
    list_display = ("created_at", "space", "model", "error")
    exclude = ("vector",)


@admin.register(ModelVersion)
class ModelVersionAdmin(NoWrites, admin.ModelAdmin[ModelVersion]):
    list_display = ("task_type", "model", "dimension", "state", "started_at")


@admin.register(ModelVersionEvent)
class ModelVersionEventAdmin(NoWrites, admin.ModelAdmin[ModelVersionEvent]):
    list_display = ("at", "task_type", "model", "state", "by")
    ordering = ("-pk",)


@admin.register(VectorErrand)
class VectorErrandAdmin(NoWrites, admin.ModelAdmin[VectorErrand]):
    list_display = ("created_at", "kind", "taken_at", "ended_at", "error_message")


@admin.register(DuplicateCandidate)
class DuplicateCandidateAdmin(NoWrites, admin.ModelAdmin[DuplicateCandidate]):
    list_display = ("entity_id", "group", "hidden", "model")
    show_full_result_count = False


@admin.register(DuplicatePair)
class DuplicatePairAdmin(NoWrites, admin.ModelAdmin[DuplicatePair]):
    list_display = ("first", "second", "score")
    show_full_result_count = False
