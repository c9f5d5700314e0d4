"""What `/metrics` tells Prometheus.

Of this process: its requests. Every web process is one process with threads and is scraped by itself, so
nothing has to be shared. Of the store: what all processes have counted (entities/tallies.py) and how things
stand now, read when it is asked for; so it is right however many processes there are, each tells the same,
and workers need no port. Read once in some seconds, and never waited for longer than a scrape may take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from django.conf import settings
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector

from entities import tallies
from store_project import readiness, standing
from store_project.backup import making
from store_project.probes import Shared
from store_project.standing import Standing, Tallied, Values

REGISTRY = CollectorRegistry(auto_describe=False)
READ_SECONDS = 3.0
GOOD_FOR_SECONDS = 10.0

T = TypeVar("T")

REQUEST_SECONDS = Histogram(
    "store_request_seconds",
    "Until an answer begins, of this process.",
    ["route", "method", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0),
    registry=REGISTRY,
)
ProcessCollector(registry=REGISTRY)


@dataclass(frozen=True)
class Count:
    """How a kind of tally is called: its number, its amount, and what its labels mean."""

    number: str
    amount: str
    labels: tuple[str, ...]
    text: str


COUNTS = {
    "upload": Count("store_uploads", "store_upload_bytes", ("type",), "Files stored."),
    "job": Count("store_jobs_ended", "", ("task", "status"), "Jobs that have ended."),
    "inference": Count(
        "store_inferences",
        "store_inference_seconds",
        ("task", "model"),
        "Answers of models.",
    ),
    "sweep": Count("store_sweeps", "store_sweep_found", ("sweep",), "Sweeps, and what they found to mend."),
    "broadcast": Count("store_broadcasts", "", ("outcome",), "Messages over MQTT."),
}


class StoreCollector:
    """The state of the store, and what its processes have counted together."""

    def __init__(self) -> None:
        self._standing = _shared("standing", _read)
        self._messages = _shared("messages", standing.messages)
        self._vectors = _shared("vectors", standing.vectors)

    def collect(self) -> Iterator[Metric]:
        """What does not answer in time, or is away, is left out: `store_part_up` says so."""
        began = time.monotonic()
        found, messages, vectors = self._standing.ask(), self._messages.ask(), self._vectors.ask()
        yield _gauge("store_info", "The program that answers.", ("release",), {(settings.VERSION,): 1.0})
        yield from _of_parts(readiness.look())
        asked: list[Future[Any]] = [found, messages, vectors]
        wait(asked, began + READ_SECONDS - time.monotonic())
        if found.done() and not found.exception():
            yield from _of_standing(found.result())
        yield _gauge(
            "store_broker_messages", "Messages that wait in the broker.", ("queue",), _told(messages)
        )
        yield _gauge("store_vectors", "Vectors of the current model.", ("space",), _told(vectors))


def _shared(name: str, find_out: Callable[[], T]) -> Shared[T]:
    return Shared(f"metrics: {name}", find_out, good_for_seconds=GOOD_FOR_SECONDS)


def _told(asked: Future[Values]) -> Values:
    return asked.result() if asked.done() and not asked.exception() else {}


def _read() -> Standing:
    tallies.flush()
    return standing.read()


def _of_parts(found: readiness.Readiness) -> Iterator[Metric]:
    parts = found.parts.items()
    yield _gauge(
        "store_part_up",
        "Whether a part is well, as /readyz has it.",
        ("part",),
        {(name,): float(part.is_well) for name, part in parts},
    )
    yield _gauge(
        "store_part_age_seconds",
        "Since a part was last well; of the sweep: since it ran.",
        ("part",),
        {(name,): part.age_seconds for name, part in parts if part.age_seconds is not None},
    )


def _of_standing(found: Standing) -> Iterator[Metric]:
    for name, text, labels, values in (
        ("store_entities", "Entities.", ("type", "state"), found.entities),
        ("store_images", "Images that are not done, up to 100000 of each.", ("status",), found.images),
        ("store_jobs", "Jobs that have not ended.", ("task", "status"), found.jobs),
        ("store_queue_depth", "Images that a task waits for, up to 100000.", ("task",), found.waiting),
        ("store_queue_oldest_seconds", "Of the image that waits longest.", (), found.oldest_seconds),
        ("store_tasks_paused", "1 while no more jobs of a task are handed out.", ("task",), found.paused),
        ("store_disk_free_bytes", "On the disk of the media.", (), found.free),
    ):
        yield _gauge(name, text, labels, values)
    for kind, count in COUNTS.items():
        yield from _counters(count, [each for each in found.tallies if each.kind == kind])
    backups = [each.updated_at for each in found.tallies if each.kind == making.KIND]
    yield _gauge(
        "store_backup_timestamp_seconds",
        "When the last backup has ended.",
        (),
        {(): max(backups)} if backups else {},
    )
    yield _gauge(
        "store_sweep_timestamp_seconds",
        "When each sweep has last ended.",
        ("sweep",),
        {(each.subject,): each.updated_at for each in found.tallies if each.kind == "sweep"},
    )


def _counters(count: Count, tallied: Sequence[Tallied]) -> Iterator[Metric]:
    named = [((each.subject, each.detail)[: len(count.labels)], each) for each in tallied]
    yield _counter(count.number, count, {labels: each.number for labels, each in named})
    if count.amount:
        yield _counter(count.amount, count, {labels: each.amount for labels, each in named})


def _counter(name: str, count: Count, values: Values) -> CounterMetricFamily:
    family = CounterMetricFamily(name, count.text, labels=count.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _gauge(name: str, text: str, labels: Sequence[str], values: Values) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family


REGISTRY.register(StoreCollector())
