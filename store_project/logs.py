"""Log lines as JSON objects (LOG_FORMAT=json), each with the request or the task that it belongs to."""

from __future__ import annotations

import json
import logging
from typing import Any

from celery.signals import before_task_publish, task_postrun, task_prerun
from django.utils import timezone

from entities import trail

USUAL = frozenset(vars(logging.makeLogRecord({})))
"""What every record has; the rest was given with `extra`."""
NOT_SHOWN = frozenset({"request", "message", "asctime", "taskName", "data"})
HEADER = "request_id"


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": timezone.now().isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
            **trail.context(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in USUAL | NOT_SHOWN}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


# --- From a request to its tasks, and from task to task ---


@before_task_publish.connect
def _send_along(headers: dict[str, Any], **_message: Any) -> None:
    if request_id := trail.context().get(HEADER):
        headers[HEADER] = request_id


@task_prerun.connect
def _enter(task: Any, task_id: str, **_task: Any) -> None:
    trail.enter(task=task.name, task_id=task_id, request_id=str(getattr(task.request, HEADER, "") or ""))


@task_postrun.connect
def _leave(**_task: Any) -> None:
    trail.leave()
