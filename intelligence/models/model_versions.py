"""Whose vectors are kept and read."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from intelligence.models.choices import choices
from intelligence.vocabulary import TaskType


class ModelVersion(models.Model):
    """A model whose vectors are kept. Of each task one is current: its vectors are read, in every process
    from the moment the row says so. Beside it one more may be wanted: images are looked at with both.
    """

    class State(models.TextChoices):
        CURRENT = "current"
        FILLING = "filling"
        """Beside the current one, to become current some day."""
        PREVIOUS = "previous"
        """Was current, and is kept up to date so that it can be again."""
        DROPPED = "dropped"

    task_type = models.CharField(max_length=32, choices=choices(TaskType))
    model = models.CharField(max_length=255)
    state = models.CharField(max_length=16, choices=State.choices)
    dimension = models.PositiveIntegerField(
        null=True, blank=True, help_text="Of its vectors. Empty: as it is configured."
    )
    started_at = models.DateTimeField(
        null=True, blank=True, help_text="Older jobs of this model brought vectors that were dropped since."
    )
    asked_up_to = models.BigIntegerField(
        default=0, help_text="Up to which image or face everything was asked for, while it is not current."
    )
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("task_type", "model", name="one_version_per_model"),
            models.UniqueConstraint(
                "task_type", name="one_current_model_per_task", condition=Q(state="current")
            ),
            models.UniqueConstraint(
                "task_type", name="one_other_model_per_task", condition=Q(state__in=("filling", "previous"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} for {self.task_type} ({self.state})"


class ModelVersionEvent(models.Model):
    """Who has changed which models are kept and read, and when."""

    task_type = models.CharField(max_length=32, choices=choices(TaskType))
    model = models.CharField(max_length=255)
    state = models.CharField(max_length=16, choices=ModelVersion.State.choices, help_text="Since then.")
    by = models.CharField(max_length=255, null=True, blank=True)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.model} became {self.state}"
