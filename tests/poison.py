"""Settings of a worker whose models die of one image and never come back from another."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from celery.exceptions import SoftTimeLimitExceeded

from intelligence.compute.base import ComputeSettings, StartJobs, Vector
from intelligence.compute.fake import FakeComputeClient, FakeModels
from intelligence.compute.picture import Picture
from intelligence.vocabulary import TaskType
from store_project.settings import *  # noqa: F403

DEADLY, ENDLESS = (31, 32), (31, 33)
"""Sizes of the images."""

COMPUTE_CLIENT_FACTORY = "tests.poison.poisoned_client"
# For a busy machine: an image that is as good as any must not run into them.
CELERY_TASK_SOFT_TIME_LIMIT = 8
CELERY_TASK_TIME_LIMIT = 10


class PoisonedModels(FakeModels):
    def embed(self, task: TaskType, picture: Picture) -> Vector:
        if picture.size == DEADLY:
            os.abort()  # as a fault in a runtime's own code: no exception that anybody could catch
        while picture.size == ENDLESS:
            with suppress(SoftTimeLimitExceeded):  # native code hears of no exception
                time.sleep(3600)
        return super().embed(task, picture)


def poisoned_client(start_jobs: StartJobs) -> FakeComputeClient:
    settings = ComputeSettings(spool=CONFIG.cl_server_dir / "compute")  # noqa: F405
    return FakeComputeClient(settings, PoisonedModels(settings, faces=0), start_jobs)
