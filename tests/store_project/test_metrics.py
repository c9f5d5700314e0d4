"""`/metrics`: who may read it, that its numbers are right, and that the dashboard asks for what there is."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from entities import tallies
from intelligence import pauses
from intelligence.models import EntityJob, ImageIntelligence
from intelligence.vocabulary import JobStatus, TaskType
from store_project import metrics, readiness, standing
from store_project.config import BASE_DIR
from store_project.probes import Probe, Shared, unwell
from store_project.requests import METHODS
from tests.factories import jpeg, make_photo
from tests.query_plans import plan, queries_asked
from tests.tokens import TokenService, bearer, nobody

DASHBOARD = BASE_DIR / "deploy" / "grafana-dashboard.json"
TOKEN = "a token for scrapers"

pytestmark = pytest.mark.django_db(transaction=True)  # what stands in the tables is read by another thread


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Answers are shared for some seconds, and counts of other tests are not ours."""
    tallies.forget()
    monkeypatch.setattr(readiness, "PROBES", {n: Probe(n, p.look) for n, p in readiness.PROBES.items()})
    collectors: Any = metrics.REGISTRY._collector_to_names
    ours: list[Collector] = [each for each in collectors if isinstance(each, metrics.StoreCollector)]
    for each in ours:
        for name, shared in vars(metrics.StoreCollector()).items():
            monkeypatch.setattr(each, name, shared)
    monkeypatch.setattr(metrics, "READ_SECONDS", 60.0)  # whatever else this machine does
    with override_settings(METRICS_TOKEN=TOKEN):
        yield


def scraped() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = bearer(TOKEN).get(
        "/metrics", HTTP_ACCEPT="application/openmetrics-text,text/plain;version=0.0.4"
    )
    assert answer.status_code == 200, answer.content
    families = text_string_to_metric_families(answer.content.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def of(found: Any, name: str, **labels: str) -> float | None:
    value: float | None = found.get((name, frozenset(labels.items())))
    return value


# --- Who may read ---


@pytest.mark.parametrize("token", ["", TOKEN])
def test_nobody_else_may_read(token: str, service: TokenService) -> None:
    with override_settings(METRICS_TOKEN=token):
        assert nobody().get("/metrics").status_code == 401
        assert bearer("").get("/metrics").status_code == 401
        assert bearer("another token").get("/metrics").status_code == 401
        assert (
            bearer(service.token("media_store_read", "media_store_write")).get("/metrics").status_code == 403
        )
        assert bearer(service.token(is_admin=True)).get("/metrics").status_code == 200


def test_the_token_opens_nothing_else() -> None:
    assert bearer(TOKEN).get("/metrics").status_code == 200
    assert bearer(TOKEN).get("/admin/pref").status_code == 401


# --- What is told ---


def test_requests_by_route_method_and_status() -> None:
    labels = {"route": "/entities/<entity_id>", "method": "GET", "status": "4xx"}
    before = of(scraped(), "store_request_seconds_count", **labels) or 0.0
    for path in ("/entities/4711", "/entities/4712/"):
        assert nobody().get(path).status_code == 404
    nobody().get("/no/such/path")
    nobody().generic("BREW", "/entities/4711")
    found = scraped()
    assert of(found, "store_request_seconds_count", **labels) == before + 2
    assert of(found, "store_request_seconds_count", route="none", method="GET", status="4xx")
    named = {dict(labels)["method"] for name, labels in found if name == "store_request_seconds_count"}
    assert "other" in named
    assert named <= {*METHODS, "other"}, "nobody can make up labels"


def test_uploads(media_root: Path, service: TokenService) -> None:
    client = bearer(service.token("media_store_write"))
    content = jpeg(1)
    for _ in range(2):
        form = {"is_collection": "false", "media_file": SimpleUploadedFile("x.jpg", content)}
        assert client.post("/entities", form).status_code in {200, 201}
    found = scraped()
    assert of(found, "store_uploads_total", type="image") == 1, "the second was there already"
    assert of(found, "store_upload_bytes_total", type="image") == len(content)
    assert of(found, "store_entities", type="image", state="live") == 1


def test_how_the_work_stands() -> None:
    one, other = make_photo(1), make_photo(2)
    for entity in (one, other):
        ImageIntelligence.objects.create(entity=entity, md5=entity.md5 or "", version=1, image_path="x")
    EntityJob.objects.create(entity=one, task_type=TaskType.CLIP_EMBEDDING, md5=one.md5 or "", model="m")
    ImageIntelligence.objects.filter(pk=one.pk).update(clip_status=JobStatus.QUEUED)
    pauses.pause(TaskType.DINO_EMBEDDING, by=None)
    time.sleep(0.05)
    found = scraped()
    assert of(found, "store_images", status="pending") == 2
    assert of(found, "store_queue_depth", task="clip_embedding") == 1
    assert of(found, "store_queue_depth", task="dino_embedding") == 2
    assert of(found, "store_jobs", task="clip_embedding", status="pending") == 1
    assert (of(found, "store_queue_oldest_seconds") or 0) >= 0.05
    assert of(found, "store_tasks_paused", task="dino_embedding") == 1


def test_what_all_processes_have_counted() -> None:
    """As another process would: through the table."""
    tallies.add("inference", "clip_embedding", "clip-x", number=3, amount=1.5)
    tallies.flush()
    tallies.add("job", "clip_embedding", "completed", number=3)
    tallies.add_now("sweep", "intelligence.tasks.sweep_images", amount=2.0)
    found = scraped()
    assert of(found, "store_inferences_total", task="clip_embedding", model="clip-x") == 3
    assert of(found, "store_inference_seconds_total", task="clip_embedding", model="clip-x") == 1.5
    assert of(found, "store_jobs_ended_total", task="clip_embedding", status="completed") == 3
    assert of(found, "store_sweep_found_total", sweep="intelligence.tasks.sweep_images") == 2
    at = of(found, "store_sweep_timestamp_seconds", sweep="intelligence.tasks.sweep_images") or 0
    assert abs(at - time.time()) < 10
    assert of(found, "store_part_up", part="sweep") == 1
    assert of(found, "store_backup_timestamp_seconds") is None


def test_when_the_last_backup_has_ended() -> None:
    tallies.add_now("backup", "ended")
    assert abs((of(scraped(), "store_backup_timestamp_seconds") or 0) - time.time()) < 10


def test_a_part_that_is_away_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(readiness.PROBES, "broker", Probe("broker", lambda: unwell("away")))
    found = scraped()
    assert (of(found, "store_part_up", part="broker"), of(found, "store_part_up", part="database")) == (0, 1)


def test_what_hangs_takes_nothing_else_away(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = threading.Event()
    collectors: Any = metrics.REGISTRY._collector_to_names
    (ours,) = [each for each in collectors if isinstance(each, metrics.StoreCollector)]
    monkeypatch.setattr(ours, "_vectors", Shared("vectors", lambda: stuck.wait(20) or {}))
    monkeypatch.setattr(metrics, "READ_SECONDS", 2.0)
    make_photo()
    found = scraped()
    stuck.set()
    assert of(found, "store_entities", type="image", state="live") == 1


def test_as_many_queries_for_many_as_for_few(django_assert_num_queries: Any) -> None:
    with CaptureQueriesContext(connection) as few:
        standing.read()
    for seed in range(5):
        entity = make_photo(seed)
        ImageIntelligence.objects.create(entity=entity, md5=entity.md5 or "", version=1, image_path="x")
        EntityJob.objects.create(entity=entity, task_type=TaskType.CLIP_EMBEDDING, md5="m", model="m")
    with django_assert_num_queries(len(few)):
        standing.read()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL chooses by what it knows of the rows")
def test_what_waits_is_counted_by_indexes_alone() -> None:
    """A hundred thousand rows, fetched in the order in which they changed, take most of a second."""
    with queries_asked() as asked:
        standing.read()
    counts = [query for query in asked if "LIMIT 100000" in query.sql]
    assert len(counts) == len(standing.COUNTED_STATUSES) + len(TaskType)
    for count in counts:
        steps = "\n".join(plan(count))
        # Not every SQLite says it of a partial index, but reads nothing else for what lies in it.
        by_index = "COVERING INDEX intelligence_status" in steps
        assert by_index or (
            "INDEX waits_" in steps and 'SELECT "intelligence_imageintelligence"."entity_id"' in count.sql
        )


# --- The dashboard ---


def queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def test_the_dashboard_asks_for_what_there_is() -> None:
    tallies.add("inference", "clip_embedding", "clip-x", amount=1.5)
    for kind in ("upload", "job", "broadcast", "sweep"):
        tallies.add(kind, "x", "y")
    make_photo()
    pauses.pause(TaskType.DINO_EMBEDDING, by=None)
    text = bearer(TOKEN).get("/metrics").content.decode()
    exported = {s.name for family in text_string_to_metric_families(text) for s in family.samples}
    exported |= set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    asked = {name for query in queries() for name in re.findall(r"\b(?:store|process)_\w+", query)}
    assert len(asked) > 15
    assert asked <= exported


def test_labels_of_the_dashboard_are_exported() -> None:
    known = {"route", "method", "status", "type", "state", "task", "model", "queue", "space", "sweep", "part"}
    known |= {"outcome", "le"}
    for query in queries():
        for labels in re.findall(r"by \(([^)]*)\)", query):
            assert {label.strip() for label in labels.split(",")} <= known, query
