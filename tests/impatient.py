"""Settings of a store that gives an image little time."""

from __future__ import annotations

from store_project.settings import *  # noqa: F403

CELERY_TASK_SOFT_TIME_LIMIT = 5
