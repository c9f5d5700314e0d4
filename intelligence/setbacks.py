"""When a result could not be taken in: whether waiting helps, and what to tell people."""

from __future__ import annotations

import errno

from django.db import DatabaseError
from django.utils import timezone

from intelligence import rows
from intelligence.compute.base import ComputeError
from intelligence.models import EntityJob
from vectors import VectorStoreError
from vectors.errors import VectorsClosedError, VectorsInUseError, VectorsUnavailableError

PASSING = (
    *(ComputeError, DatabaseError, OSError),
    *(VectorsClosedError, VectorsInUseError, VectorsUnavailableError),
)
"""Errors that may be gone at the next try."""

FULL = (errno.ENOSPC, errno.EDQUOT)


def note(job_id: str, error: Exception) -> None:
    """For whoever asks what the job waits for. It also shows the sweeps that somebody is at it."""
    EntityJob.objects.live().filter(job_id=job_id).update(
        error_message=in_words(error), updated_at=timezone.now()
    )


def give_up(job_id: str, error: BaseException) -> None:
    job = EntityJob.objects.filter(job_id=job_id).first()
    if job is not None:
        rows.fail_job(job, in_words(error))


def in_words(error: BaseException) -> str:
    """`The result could not be stored: ...`, so that retries can be asked for by these words."""
    return f"The result could not be stored: {_cause(error)}"


def _cause(error: BaseException) -> str:
    if isinstance(error, OSError) and error.errno in FULL:
        return "there is no space left on the disk of the media folder."
    if isinstance(error, OSError):
        return f"the media folder cannot be written ({error.strerror or error})."
    if isinstance(error, VectorStoreError):
        return f"the vector store did not take it. {error}"
    if isinstance(error, DatabaseError):
        return f"the database did not take it. {error}"
    if isinstance(error, ComputeError):
        return f"compute did not hand it out. {error}"
    return f"the store itself has a fault ({type(error).__name__}: {error}); its log says where."
