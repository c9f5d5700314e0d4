from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What can be wrong with what was found on images."""

    MISSING_RESULTS = "missing_results"
    """A live image without a row of its content."""
    WRONG_FACE_COUNT = "wrong_face_count"
    ORPHANED_FACE = "orphaned_face"
    """On an image that is gone, or of which nothing is known."""
    FACE_WITHOUT_CROP = "face_without_crop"
    DAMAGED_CROP = "damaged_crop"
    ORPHANED_CROP = "orphaned_crop"
    LEFTOVER_CROP = "leftover_crop"
    """Half-written by a process that died."""
    LOST_JOB = "lost_job"
    """A task is said to be done, and no job has done it."""
    LOST_VECTOR = "lost_vector"
    ORPHANED_VECTOR = "orphaned_vector"
    LEFTOVER_JOB = "leftover_job"
    """In the spool, and nobody wants it."""
    ORPHANED_STATUS = "orphaned_status"
    """The MQTT broker keeps it for clients of an entity that is gone."""
