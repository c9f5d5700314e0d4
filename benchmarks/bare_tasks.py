"""The smallest Celery tasks that do something: what framework, broker and commit cost by themselves.

    celery -A benchmarks.bare_tasks worker

Each task of an image is one message and one row changed in one transaction; options as the store's.
"""

from __future__ import annotations

import os
from functools import cache

import psycopg
from celery import Celery

QUEUE = "bare"
TASKS_PER_IMAGE = 4

app = Celery("bare", broker=os.environ.get("CELERY_BROKER_URL"))
app.conf.update(
    task_acks_late=True,
    task_default_queue=QUEUE,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)


@cache
def _connected(url: str) -> psycopg.Connection:
    return psycopg.connect(url, autocommit=True)


def connection() -> psycopg.Connection:
    return _connected(os.environ["DATABASE_URL"])


def prepare(images: int) -> None:
    connection().execute("CREATE TABLE bare_image (id int PRIMARY KEY, ended int NOT NULL)")
    connection().execute("INSERT INTO bare_image SELECT i, 0 FROM generate_series(1, %s) i", [images])


def unfinished() -> int:
    row = (
        connection().execute("SELECT count(*) FROM bare_image WHERE ended < %s", [TASKS_PER_IMAGE]).fetchone()
    )
    assert row is not None
    return int(row[0])


@app.task(name="bare.end")
def end(image: int) -> None:
    connection().execute("UPDATE bare_image SET ended = ended + 1 WHERE id = %s", [image])
