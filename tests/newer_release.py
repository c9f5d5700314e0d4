"""The workers' app as a later release may have it: with one task more. For tests of rolling it out."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from store_project.celery import app

TASK = "intelligence.tasks.of_a_later_release"


@app.task(name=TASK)
def of_a_later_release(said: str, *_later: object, **_more: Any) -> None:
    Path(os.environ["SAID_FILE"]).write_text(said)
