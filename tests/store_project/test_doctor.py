"""`manage.py doctor` in a process of its own, over an installation that is well and over one that is not."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from entities.models import Entity, ServiceConfig
from intelligence import pauses, worker_status
from intelligence.models import EntityJob, ImageIntelligence
from intelligence.vocabulary import JobStatus, TaskType
from store_project.diagnosis import Advice, Level, examine
from tests.factories import make_photo
from tests.processes import Manage

NOWHERE = {
    "DATABASE_URL": "postgresql://store:hunter2@127.0.0.1:1/store",
    "CELERY_BROKER_URL": "redis://:hunter2@127.0.0.1:1/0",
    "QDRANT_URL": "http://127.0.0.1:1",
    "MQTT_BROKER": "127.0.0.1",
    "MQTT_PORT": "1",
}


def by_subject(output: str) -> dict[str, dict[str, str]]:
    return {advice["subject"]: advice for advice in json.loads(output)}


def test_it_works(manage: Manage) -> None:
    assert manage("migrate").returncode == 0
    done = manage("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "ok       database" in done.stdout
    assert "warning  workers" in done.stdout
    assert "-> Start one: `manage.py serve`" in done.stdout


def test_an_installation_without_tables(manage: Manage) -> None:
    done = manage("doctor", "--json")
    assert done.returncode == 1
    told = by_subject(done.stdout)
    assert told["database"]["level"] == "ok"
    assert (told["migrations"]["level"], told["migrations"]["remedy"]) == (
        "wrong",
        "Run `manage.py migrate`.",
    )


def test_everything_is_away(manage: Manage) -> None:
    done = manage("doctor", "--json", **NOWHERE)
    assert done.returncode == 1, done.stderr
    told = by_subject(done.stdout)
    for subject in ("database", "broker", "vectors"):
        assert told[subject]["level"] == "wrong", subject
        assert told[subject]["remedy"]
    assert told["mqtt"]["level"] == "warning"
    assert "hunter2" not in done.stdout + done.stderr


def test_settings_that_are_wrong_are_all_named(manage: Manage) -> None:
    done = manage("doctor", COMPUTE_THREADS="many", QDRANT_URL="nonsense")
    assert done.returncode == 2, "as with every command"
    assert "COMPUTE_THREADS" in done.stdout + done.stderr
    assert "QDRANT_URL" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_a_key_that_others_may_read(manage: Manage) -> None:
    assert manage("migrate").returncode == 0
    key = manage.server_dir / "keys" / "secret_key"
    key.chmod(0o644)
    done = manage("doctor")
    assert done.returncode == 1
    assert f"chmod 600 {key}" in done.stdout


# --- What only the tables tell ---


@pytest.fixture
def found() -> Any:
    return lambda subject: [each for each in _examined() if each.subject == subject]


def _examined() -> list[Advice]:
    return list(examine())


@pytest.mark.django_db(transaction=True)
def test_failed_jobs_and_pauses(found: Any) -> None:
    assert [each.level for each in found("failed jobs")] == [Level.OK]
    entity = make_photo()
    job = EntityJob(entity=entity, task_type=TaskType.CLIP_EMBEDDING, md5=entity.md5 or "", model="m")
    job.status = JobStatus.FAILED
    job.save()
    pauses.pause(TaskType.DINO_EMBEDDING, by="ada")
    (failed,) = found("failed jobs")
    (paused,) = found("pauses")
    assert failed.text.startswith("1 jobs")
    assert "retry --failed" in failed.remedy
    assert "by ada" in paused.text
    assert "resume dino_embedding" in paused.remedy


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_has_died_is_wrong(found: Any) -> None:
    worker_status.worker_started()
    assert found("workers")[0].level is Level.OK
    _age_of_the_worker(timedelta(minutes=5))
    (died,) = found("workers")
    assert died.level is Level.WRONG
    assert "serve" in died.remedy


def _age_of_the_worker(age: timedelta) -> None:
    ServiceConfig.objects.filter(key=worker_status.KEY).update(updated_at=timezone.now() - age)


@pytest.mark.django_db(transaction=True)
def test_what_waits_for_long(found: Any) -> None:
    entity: Entity = make_photo()
    ImageIntelligence.objects.create(entity=entity, md5=entity.md5 or "", version=1, image_path="x")
    assert found("queue")[0].level is Level.OK
    ImageIntelligence.objects.update(updated_at=timezone.now() - timedelta(hours=2))
    assert found("queue")[0].level is Level.WARNING
