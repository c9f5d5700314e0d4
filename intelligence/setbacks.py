"""When a result could not be taken in: whether waiting helps, and what to tell people."""

from __future__ import annotations

import errno
import logging
from collections.abc import Sequence

from django.db import DatabaseError
from django.utils import timezone

from intelligence import hints, rows
from intelligence.compute.base import ComputeError
from intelligence.models import EntityJob
from vectors import VectorStoreError
from vectors.errors import VectorsClosedError, VectorsInUseError, VectorsUnavailableError

logger = logging.getLogger(__name__)

PASSING = (
    *(ComputeError, DatabaseError, OSError),
    *(VectorsClosedError, VectorsInUseError, VectorsUnavailableError),
)
"""Errors that may be gone at the next try."""

FULL = (errno.ENOSPC, errno.EDQUOT)


def note(job_ids: Sequence[str], error: Exception) -> None:
    """For whoever asks what the jobs wait for. It also shows the sweeps that somebody is at them."""
    EntityJob.objects.live().filter(job_id__in=job_ids).update(
        error_message=in_words(error), updated_at=timezone.now()
    )


def give_up(job_ids: Sequence[str], error: BaseException) -> None:
    """Of several jobs it may be the fault of one: then each is tried alone."""
    if len(job_ids) > 1:
        logger.error("Results that could not be stored together: %s", error)
        hints.finish_each(job_ids)
        return
    for job in EntityJob.objects.filter(job_id__in=job_ids):
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
