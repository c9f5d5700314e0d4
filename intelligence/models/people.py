"""The people on the images, what users have decided about them, and how each step can be taken back."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from entities import history
from entities.models import Entity


class KnownPerson(models.Model):
    name = models.CharField(max_length=255, null=True, blank=True)
    hidden = models.BooleanField(default=False)
    cover_face = models.ForeignKey(
        "Face", null=True, blank=True, on_delete=models.SET_NULL, related_name="covered_people"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)

    history = HistoricalRecords(
        history_id_field=models.BigAutoField(),
        history_user_id_field=models.CharField(max_length=255, null=True),
        history_user_getter=history.get_user,
        history_user_setter=history.set_user,
        get_user=history.current_user,
    )

    class Meta:
        verbose_name_plural = "known people"
        indexes = [models.Index("name", name="person_name")]

    def __str__(self) -> str:
        return self.name or f"person {self.pk}"


class FaceMatch(models.Model):
    """A piece of evidence: a face of the same model that this one was found to be like, and what for."""

    face = models.ForeignKey("Face", on_delete=models.CASCADE, related_name="matches")
    matched_face = models.ForeignKey("Face", on_delete=models.CASCADE, related_name="matched_by")
    similarity = models.FloatField(help_text="Cosine.")
    threshold = models.FloatField(help_text="The least similarity that counted when it was found.")
    model = models.CharField(max_length=255)
    rule = models.CharField(max_length=32)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "face matches"
        indexes = [models.Index("face", name="match_of_another", condition=Q(rule="another"))]
        constraints = [
            models.UniqueConstraint("face", "matched_face", "model", name="one_match_per_pair_and_model"),
            models.CheckConstraint(name="match_of_two_faces", condition=~Q(face=F("matched_face"))),
        ]

    def __str__(self) -> str:
        return f"face {self.face_id} ~ face {self.matched_face_id}"


class FaceDecision(models.Model):
    """Someone said who a face is, or is not. It names the place on the image too, to outlive re-detection."""

    class Verdict(models.TextChoices):
        IS = "is"
        IS_NOT = "is_not"
        NO_FACE = "no_face", "no face"

    entity = models.ForeignKey(Entity, on_delete=models.CASCADE, related_name="face_decisions")
    md5 = models.CharField(max_length=32, default="", help_text="Of the content that it was decided on.")
    face = models.ForeignKey(
        "Face", null=True, blank=True, on_delete=models.SET_NULL, related_name="decisions"
    )
    bbox = models.JSONField(help_text="Where on the upright image the face was, 0..1.")
    person = models.ForeignKey(
        KnownPerson, null=True, blank=True, on_delete=models.CASCADE, related_name="decisions"
    )
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    decided_by = models.CharField(max_length=255, null=True, blank=True)
    decided_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "face", name="one_person_decided_per_face", condition=Q(verdict="is", face__isnull=False)
            ),
            models.UniqueConstraint(
                "face", "person", name="one_verdict_per_face_and_person", condition=Q(face__isnull=False)
            ),
            models.CheckConstraint(
                name="decision_names_a_person_or_no_face",
                condition=Q(verdict="no_face", person__isnull=True)
                | ~Q(verdict="no_face") & Q(person__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        if self.verdict == self.Verdict.NO_FACE:
            return f"there is no face at {self.bbox} on entity {self.entity_id}"
        return f"face {self.face_id} {self.verdict} person {self.person_id}"


class PersonDistinction(models.Model):
    """Someone said that these two are not the same person."""

    person = models.ForeignKey(KnownPerson, on_delete=models.CASCADE, related_name="distinct_from")
    other = models.ForeignKey(KnownPerson, on_delete=models.CASCADE, related_name="distinct_to")
    decided_by = models.CharField(max_length=255, null=True, blank=True)
    decided_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint("person", "other", name="one_distinction_per_pair"),
            # The smaller id first, so that a pair has one spelling.
            models.CheckConstraint(name="distinction_in_order", condition=Q(person__lt=F("other"))),
        ]

    def __str__(self) -> str:
        return f"person {self.person_id} is not person {self.other_id}"


class PeopleOperation(models.Model):
    """One step that a user, or the re-clustering, took with people and faces; it can be taken back."""

    class Kind(models.TextChoices):
        CONFIRM = "confirm"
        REJECT = "reject"
        ASSIGN = "assign"
        SPLIT = "split"
        MERGE = "merge"
        DISTINGUISH = "distinguish"
        RENAME = "rename"
        HIDE = "hide"
        COVER = "cover"
        REMOVE_FACE = "remove_face", "remove face"
        RECLUSTER = "recluster"
        UNDO = "undo"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    summary = models.TextField(help_text="In words, as it was at the time.")
    people = models.JSONField(default=list, help_text="Ids of whom it concerns; who stays, or is new, first.")
    by = models.CharField(max_length=255, null=True, blank=True)
    at = models.DateTimeField(auto_now_add=True)
    undoes = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.CASCADE, related_name="undone_in"
    )

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.summary


class PeopleChange(models.Model):
    """A fact that an operation has changed: what it was before, and what it is since. None: not there."""

    class Of(models.TextChoices):
        PERSON = "person"
        FACE = "face"
        DECISION = "decision"
        DISTINCTION = "distinction"

    operation = models.ForeignKey(PeopleOperation, on_delete=models.CASCADE, related_name="changes")
    of = models.CharField(max_length=16, choices=Of.choices)
    row = models.BigIntegerField(help_text="Its id.")
    # No foreign key: it follows the face when another detection finds it anew, and outlives it.
    face = models.BigIntegerField(null=True, blank=True, help_text="The face that it is about.")
    before = models.JSONField(null=True, blank=True)
    after = models.JSONField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index("of", "row", name="people_change_row"),
            models.Index("face", name="people_change_face", condition=Q(face__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.of} {self.row} in operation {self.operation_id}"
