"""The workers' app as a later release may have it, with tasks more: for tests of rolling out, of workers."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from store_project.celery import app

TASK = "intelligence.tasks.of_a_later_release"
SLOW_TASK = "intelligence.tasks.slow_one_of_a_later_release"
SLOW_TASK_SECONDS = 60.0


@app.task(name=TASK)
def of_a_later_release(said: str, *_later: object, **_more: Any) -> None:
    Path(os.environ["SAID_FILE"]).write_text(said)


@app.task(name=SLOW_TASK)
def slow_one_of_a_later_release(until: str, *_later: object, **_more: Any) -> None:
    """Ends when there is a file of that name."""
    Path(os.environ["SAID_FILE"]).write_text("begun")
    deadline = time.monotonic() + SLOW_TASK_SECONDS
    while not Path(until).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
