from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from simple_history.admin import SimpleHistoryAdmin

from entities.api.signed_urls import signed_query
from entities.models import DiscardedFile, Entity, LoginAttempts, Removal, ServiceConfig, Tally


class NoWrites:
    """Rows that services write: looked at here, never changed behind their backs."""

    def has_add_permission(self, *_arguments: Any, **_options: Any) -> bool:
        return False

    def has_change_permission(self, *_arguments: Any, **_options: Any) -> bool:
        return False

    def has_delete_permission(self, *_arguments: Any, **_options: Any) -> bool:
        return False


def thumbnail(entity: Entity, *, height: int = 64) -> str:
    if entity.type not in {Entity.MediaType.IMAGE, Entity.MediaType.VIDEO}:
        return ""
    url = f"{reverse('entity-preview', args=[entity.pk])}?{signed_query(entity.pk)}"
    return format_html('<img src="{}" height="{}" loading="lazy" alt="">', url, height)


@admin.register(Entity)
class EntityAdmin(NoWrites, SimpleHistoryAdmin):  # type: ignore[misc]  # simple_history is not typed
    list_display = ("picture", "id", "label", "type", "parent_id", "added_date", "is_deleted")
    list_display_links = ("picture", "id", "label")
    list_filter = ("type", "is_collection", "is_deleted")
    search_fields = ("label", "md5")
    ordering = ("-added_date", "-id")
    show_full_result_count = False
    readonly_fields = ("large_picture",)

    @admin.display(description="")
    def picture(self, entity: Entity) -> str:
        return thumbnail(entity)

    @admin.display(description="Picture")
    def large_picture(self, entity: Entity) -> str:
        return thumbnail(entity, height=256)


@admin.register(ServiceConfig)
class ServiceConfigAdmin(admin.ModelAdmin[ServiceConfig]):
    list_display = ("key", "value", "updated_at", "updated_by")
    readonly_fields = ("updated_by",)

    def save_model(self, request: HttpRequest, obj: ServiceConfig, form: Any, change: bool) -> None:  # noqa: FBT001  (Django's call)
        obj.updated_by = str(request.user.pk)
        super().save_model(request, obj, form, change)


@admin.register(DiscardedFile)
class DiscardedFileAdmin(NoWrites, admin.ModelAdmin[DiscardedFile]):
    """Files that no row names any more and that are about to go."""

    list_display = ("id", "entity_id", "file_path", "mime_type")
    show_full_result_count = False


@admin.register(Tally)
class TallyAdmin(NoWrites, admin.ModelAdmin[Tally]):
    list_display = ("kind", "subject", "detail", "number", "amount", "updated_at")
    list_filter = ("kind",)


@admin.register(LoginAttempts)
class LoginAttemptsAdmin(admin.ModelAdmin[LoginAttempts]):
    """To remove one lets somebody in again who has failed too often."""

    list_display = ("key", "number", "since")

    def has_add_permission(self, *_arguments: Any, **_options: Any) -> bool:
        return False

    def has_change_permission(self, *_arguments: Any, **_options: Any) -> bool:
        return False


@admin.register(Removal)
class RemovalAdmin(NoWrites, admin.ModelAdmin[Removal]):
    """What was removed with very much below it, as far as it is not gone yet."""

    list_display = ("entity_id", "root", "removed_by", "started_at")
