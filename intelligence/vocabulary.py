"""The words that the web side and the worker side share. No Django, so that compute can use them too."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class TaskType(StrEnum):
    FACE_DETECTION = "face_detection"
    CLIP_EMBEDDING = "clip_embedding"
    DINO_EMBEDDING = "dino_embedding"
    FACE_EMBEDDING = "face_embedding"


IMAGE_TASKS = (TaskType.FACE_DETECTION, TaskType.CLIP_EMBEDDING, TaskType.DINO_EMBEDDING)
"""The tasks that every image gets; a face embedding is asked for each face that detection finds."""


class Priority(IntEnum):
    """By where the work came from; higher goes first."""

    UPLOAD = 30
    IMPORT = 25  # out of a folder: there may be many, and nobody waits for one of them
    BACKFILL = 20  # found by a sweep, or asked for once more
    REDO = 10  # done before; the old results serve until then


class ProcessingStatus(StrEnum):
    """Where an image stands as a whole."""

    PENDING = "pending"  # nothing of it is under way
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"


class JobStatus(StrEnum):
    PENDING = "pending"  # written down, not yet handed to compute
    QUEUED = "queued"  # compute has it
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    DISCARDED = "discarded"  # no longer wanted; its result leaves no trace


LIVE_JOB_STATUSES = (JobStatus.PENDING, JobStatus.QUEUED, JobStatus.IN_PROGRESS)
HANDED_OVER = (JobStatus.QUEUED, JobStatus.IN_PROGRESS)
UNFINISHED = (ProcessingStatus.PENDING, ProcessingStatus.PROCESSING)
