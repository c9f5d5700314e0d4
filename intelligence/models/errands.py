"""What one process asks another for, and the answer."""

from __future__ import annotations

from django.db import models


class SearchEncoding(models.Model):
    """What somebody searches for, on its way to a worker, and the vector on its way back.

    Rows of words stay for a while, under a hash of the words; those of pictures go with their request.
    """

    key = models.CharField(max_length=64, primary_key=True)
    space = models.CharField(max_length=8)
    text = models.TextField(blank=True, help_text="Until it is answered.")
    file_path = models.CharField(max_length=255, blank=True, help_text="Relative to the media folder.")
    model = models.CharField(max_length=255, blank=True)
    vector = models.BinaryField(null=True, help_text="Little-endian float32.")
    error = models.TextField(blank=True)
    is_permanent = models.BooleanField(default=False, help_text="Asking again would not help.")
    created_at = models.DateTimeField(auto_now_add=True, db_index=True)

    def __str__(self) -> str:
        return f"{self.space} of {'a picture' if self.file_path else 'words'}"


class VectorErrand(models.Model):
    """Something to be found out in the vectors by the one process that has them open, for another one."""

    kind = models.CharField(max_length=32)
    arguments = models.JSONField(default=dict)
    result = models.JSONField(null=True, blank=True)
    error_message = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    taken_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.kind} of {self.created_at:%F %T}"
