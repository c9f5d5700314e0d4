"""What people keep: entities with their whole history, and the settings that change at run time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from simple_history.models import HistoricalRecords

from entities import history


class EntityQuerySet(models.QuerySet["Entity"]):
    def live(self) -> Self:
        """Not deleted themselves; an ancestor may be (see hierarchy.py)."""
        return self.filter(is_deleted=False)

    def images(self) -> Self:
        return self.filter(type=Entity.MediaType.IMAGE, md5__isnull=False)

    def with_children_count(self) -> Self:
        """Adds `children_count`: the direct children that are not deleted."""
        children = (
            Entity.objects.filter(parent=models.OuterRef("pk"), is_deleted=False)
            .order_by()
            .values("parent")
            .annotate(number=models.Count("pk"))
            .values("number")
        )
        return self.annotate(children_count=Coalesce(models.Subquery(children), 0))

    def in_order_of(self, ids: Iterable[int]) -> list[Entity]:
        """The entities that exist among `ids`, in the order of `ids`, with one query."""
        wanted = list(ids)
        found = self.in_bulk(wanted)
        return [found[pk] for pk in wanted if pk in found]


class Entity(models.Model):
    """A photo, a video, any other file, or a collection of them."""

    class MediaType(models.TextChoices):
        TEXT = "text"
        IMAGE = "image"
        VIDEO = "video"
        AUDIO = "audio"
        FILE = "file"

    is_collection = models.BooleanField()
    label = models.CharField(max_length=1024, null=True, blank=True)
    description = models.TextField(null=True, blank=True)
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="children", db_index=False
    )

    added_date = models.DateTimeField(help_text="When it came into the store.")
    updated_date = models.DateTimeField()
    create_date = models.DateTimeField(null=True, blank=True, help_text="When it was captured.")
    added_by = models.CharField(max_length=255, null=True, blank=True)
    updated_by = models.CharField(max_length=255, null=True, blank=True)

    file_size = models.PositiveBigIntegerField(null=True, blank=True, help_text="Bytes.")
    width = models.PositiveIntegerField(null=True, blank=True, help_text="Pixels, of the upright picture.")
    height = models.PositiveIntegerField(null=True, blank=True, help_text="Pixels, of the upright picture.")
    duration = models.FloatField(null=True, blank=True, help_text="Seconds.")
    mime_type = models.CharField(max_length=255, null=True, blank=True)
    type = models.CharField(max_length=16, null=True, blank=True, choices=MediaType.choices)
    extension = models.CharField(max_length=32, null=True, blank=True)
    md5 = models.CharField(max_length=32, null=True, blank=True, unique=True)
    file_path = models.CharField(
        max_length=255, null=True, blank=True, help_text="Relative to the media folder."
    )
    is_deleted = models.BooleanField(default=False)

    children_count: int
    """Only there after `EntityQuerySet.with_children_count`."""

    history = HistoricalRecords(
        history_id_field=models.BigAutoField(),
        # Principals come from outside tokens as well as from Django's users, so a name is kept, not a key.
        history_user_id_field=models.CharField(max_length=255, null=True),
        history_user_getter=history.get_user,
        history_user_setter=history.set_user,
        get_user=history.current_user,
    )

    objects = EntityQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "entities"
        ordering = ["-added_date", "-id"]
        permissions = [
            ("media_store_read", "Can read the media store"),
            ("media_store_write", "Can write to the media store"),
            ("ai_inference_support", "Can ask the compute service for inference"),
        ]
        indexes = [
            models.Index(F("added_date").desc(), F("id").desc(), name="entity_newest"),
            models.Index("parent", F("added_date").desc(), F("id").desc(), name="entity_parent_newest"),
            models.Index("type", F("added_date").desc(), F("id").desc(), name="entity_type_newest"),
            models.Index("mime_type", F("added_date").desc(), F("id").desc(), name="entity_mime_newest"),
            models.Index("label", name="entity_label"),
            models.Index("file_size", name="entity_file_size"),
            models.Index("width", "height", name="entity_width_height"),
            models.Index("height", name="entity_height"),
            models.Index("create_date", name="entity_create_date"),
            models.Index("id", name="entity_deleted", condition=Q(is_deleted=True)),
            models.Index("id", name="entity_collections", condition=Q(is_collection=True)),
        ]
        constraints = [
            models.CheckConstraint(
                name="entity_file_unless_collection",
                condition=Q(is_collection=True, md5__isnull=True, file_path__isnull=True)
                | Q(is_collection=False, md5__isnull=False, file_path__isnull=False),
            ),
            models.CheckConstraint(name="entity_not_its_own_parent", condition=~Q(parent=F("id"))),
        ]

    def __str__(self) -> str:
        return self.label or f"{self.type or 'collection'} {self.pk}"


class ServiceConfig(models.Model):
    """A setting that an admin changes while the service runs; read afresh, so visible at once everywhere."""

    key = models.CharField(max_length=64, primary_key=True)
    value = models.JSONField()
    updated_at = models.DateTimeField(auto_now=True)
    updated_by = models.CharField(max_length=255, null=True, blank=True)

    class Meta:
        verbose_name = "service setting"

    def __str__(self) -> str:
        return self.key
