"""What people keep: entities with their whole history, and the settings that change at run time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self, cast

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.functional import cached_property

from entities import counting, history
from entities.columns import LABEL_HEAD, NEWEST, LabelHead, Unindexed
from entities.history import History

LABEL_LENGTH = 1024


class Removal(models.Model):
    """An entity that is being removed for good: nobody sees it any more, and its slice is yet to come."""

    # No foreign key: the row of the entity goes first.
    entity_id = models.BigIntegerField(primary_key=True)
    root = models.BigIntegerField(help_text="What somebody has removed; this lay below it.")
    removed_by = models.CharField(max_length=255, null=True, blank=True)
    started_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"entity {self.entity_id}, below {self.root}"


def visible(field: str = "pk") -> Q:
    """For rows that name an entity in this field. Costs nothing while nothing is being removed."""
    of_this = Removal.objects.filter(entity_id=OuterRef(field))
    return Q(~Exists(Removal.objects.all())) | Q(~Exists(of_this))


class EntityQuerySet(models.QuerySet["Entity"]):
    def live(self) -> Self:
        """Not deleted themselves; an ancestor may be (see hierarchy.py)."""
        return self.filter(is_deleted=False)

    def images(self) -> Self:
        return self.filter(type=Entity.MediaType.IMAGE, md5__isnull=False)

    def with_children_count(self) -> Self:
        """Adds `children_count`: the direct children that are not deleted."""
        return self.annotate(children_count=counting.live_children())

    def labelled(self, label: str) -> Self:
        """Collections of exactly this label, in no order.

        SQLite would look for an order by its index, and take a label that is known for its head.
        """
        labels = self.order_by().alias(label_head=LabelHead("label"), plain_label=Unindexed("label"))
        return labels.filter(is_collection=True, label_head=label[:LABEL_HEAD], plain_label=label)

    def in_order_of(self, ids: Iterable[int]) -> list[Entity]:
        """The entities that exist among `ids`, in the order of `ids`, with one query."""
        wanted = list(ids)
        found = self.in_bulk(wanted)
        return [found[pk] for pk in wanted if pk in found]


ManagerOfAll = models.Manager.from_queryset(EntityQuerySet)


class VisibleManager(ManagerOfAll["Entity"]):
    """Without what is being removed."""

    def get_queryset(self) -> EntityQuerySet:
        return self._visible.using(self._db)

    @cached_property
    def _visible(self) -> EntityQuerySet:
        """Put together once: to do so for each query takes as long as to answer a simple one."""
        return cast("EntityQuerySet", super().get_queryset().filter(visible()))


class Entity(models.Model):
    """A photo, a video, any other file, or a collection of them."""

    class MediaType(models.TextChoices):
        TEXT = "text"
        IMAGE = "image"
        VIDEO = "video"
        AUDIO = "audio"
        FILE = "file"

    is_collection = models.BooleanField()
    label = models.CharField(max_length=LABEL_LENGTH, null=True, blank=True)
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
    md5 = models.CharField(max_length=32, null=True, blank=True)
    file_path = models.CharField(
        max_length=255, null=True, blank=True, help_text="Relative to the media folder."
    )
    is_deleted = models.BooleanField(default=False)

    children_count: int
    """Only there after `EntityQuerySet.with_children_count`."""
    _change_reason: str | None
    """Kept with the version that the next save makes."""
    was_just_made = False
    """True where this is what a request has just stored: nothing was found on it yet."""
    has_other_content = False
    """True where this stands for an earlier version, with a file that was replaced since."""

    history = History(
        history_id_field=models.BigAutoField(),
        # Principals come from outside tokens as well as from Django's users, so a name is kept, not a key.
        history_user_id_field=models.CharField(max_length=255, null=True),
        history_user_getter=history.get_user,
        history_user_setter=history.set_user,
        get_user=history.current_user,
    )

    objects = VisibleManager()
    all_rows = EntityQuerySet.as_manager()
    """With what is being removed: for those who look after rows and files, not for readers."""

    class Meta:
        verbose_name_plural = "entities"
        ordering = ["-added_date", "-id"]
        permissions = [
            ("media_store_read", "Can read the media store"),
            ("media_store_write", "Can write to the media store"),
            ("ai_inference_support", "Can ask the compute service for inference"),
        ]
        # Each filter has an index that sorts and counts what it finds without looking at the rows.
        indexes = [
            # All that filters ask for: several of them together read this, the rows not at all.
            models.Index(
                *NEWEST,
                *("is_collection", "parent", "type", "mime_type", "width", "height", "file_size"),
                name="entity_newest",
            ),
            models.Index("parent", *NEWEST, name="entity_parent_newest"),
            models.Index("type", *NEWEST, name="entity_type_newest"),
            models.Index("mime_type", *NEWEST, name="entity_mime_newest"),
            models.Index("width", *NEWEST, "height", name="entity_width_newest"),
            models.Index("height", *NEWEST, name="entity_height_newest"),
            models.Index("file_size", *NEWEST, name="entity_size_newest"),
            # PostgreSQL does not sort by an index over "parent is null".
            models.Index(*NEWEST, name="entity_roots_newest", condition=Q(parent__isnull=True)),
            models.Index(*NEWEST, name="collection_newest", condition=Q(is_collection=True)),
            models.Index("parent", *NEWEST, name="collection_parent", condition=Q(is_collection=True)),
            # The head only: PostgreSQL's indexes do not hold a label of full length.
            models.Index(LabelHead("label"), name="collection_label", condition=Q(is_collection=True)),
            models.Index("id", name="entity_deleted", condition=Q(is_deleted=True)),
        ]
        constraints = [
            # Not the field's `unique`, which comes with an index for LIKE, and with both for the history.
            models.UniqueConstraint(fields=["md5"], name="entity_md5"),
            models.CheckConstraint(
                name="entity_file_unless_collection",
                condition=Q(is_collection=True, md5__isnull=True, file_path__isnull=True)
                | Q(is_collection=False, md5__isnull=False, file_path__isnull=False),
            ),
            models.CheckConstraint(name="entity_not_its_own_parent", condition=~Q(parent=F("id"))),
        ]

    def __str__(self) -> str:
        return self.label or f"{self.type or 'collection'} {self.pk}"


class DiscardedFile(models.Model):
    """A file that was taken from an entity; written in that transaction, removed when the file has gone."""

    entity_id = models.BigIntegerField()
    md5 = models.CharField(max_length=32)
    file_path = models.CharField(max_length=255)
    mime_type = models.CharField(max_length=255)

    def __str__(self) -> str:
        return self.file_path


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


class Tally(models.Model):
    """How often something has happened, and how much of it: of all processes together, for the metrics."""

    kind = models.CharField(max_length=32)
    subject = models.CharField(max_length=64)
    detail = models.CharField(max_length=255, blank=True)
    number = models.BigIntegerField(default=0)
    amount = models.FloatField(default=0.0, help_text="Seconds, bytes or things found, as the kind has it.")
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "tallies"
        constraints = [models.UniqueConstraint("kind", "subject", "detail", name="one_tally")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.subject}"


class LoginAttempts(models.Model):
    """How often somebody has tried to log in lately; what was right is not counted."""

    key = models.CharField(max_length=64, primary_key=True, help_text="Hash of an address, or with a name.")
    number = models.PositiveIntegerField(default=0)
    since = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name_plural = "login attempts"

    def __str__(self) -> str:
        return f"{self.number} since {self.since:%F %T}"
