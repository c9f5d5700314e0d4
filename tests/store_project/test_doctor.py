"""`manage.py doctor` in a process of its own, over an installation that is well and over one that is not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from entities import tallies
from entities.models import Entity, ServiceConfig, Tally
from intelligence import pauses, worker_status
from intelligence.models import EntityJob, ImageIntelligence
from intelligence.vocabulary import JobStatus, TaskType
from store_project.diagnosis import Advice, Level, examine
from store_project.worker_lock import WorkerLock
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


# --- Who works on the folder ---


def lock_of(manage: Manage) -> WorkerLock:
    lock = WorkerLock(manage.server_dir)
    assert lock.acquire()
    return lock


def test_the_process_that_is_the_whole_store_is_named(manage: Manage) -> None:
    assert manage("migrate").returncode == 0
    assert "none works on this folder alone" in manage("doctor").stdout
    lock = lock_of(manage)
    try:
        done = manage("doctor", "--json")
        told = by_subject(done.stdout)["processes"]
        assert (done.returncode, told["level"]) == (0, "ok")
        assert told["text"] == f"workers: process {os.getpid()}"
    finally:
        lock.release()
    assert "none works on this folder alone" in manage("doctor").stdout


def test_a_second_process_with_the_embedded_vectors(manage: Manage) -> None:
    assert manage("migrate").returncode == 0
    lock = lock_of(manage)
    program = (
        "import sys; from pathlib import Path; from vectors.engines.folder import VectorFolder; "
        "held = VectorFolder(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(manage.server_dir / "vectors")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == "held\n"
            done = manage("doctor", "--json")
        finally:
            other.communicate()
            lock.release()
    told = by_subject(done.stdout)["processes"]
    assert (done.returncode, told["level"]) == (1, "wrong")
    assert f"Process {other.pid} has the embedded vectors open" in told["text"]
    assert str(os.getpid()) in told["text"]
    assert f"Stop process {other.pid}" in told["remedy"]


def test_a_store_in_one_process_beside_a_broker(manage: Manage) -> None:
    assert manage("migrate").returncode == 0
    lock = lock_of(manage)
    try:
        done = manage("doctor", "--json", CELERY_BROKER_URL=NOWHERE["CELERY_BROKER_URL"])
    finally:
        lock.release()
    told = by_subject(done.stdout)["processes"]
    assert told["level"] == "wrong"
    assert "Start it again" in told["remedy"]


def test_a_backup_is_looked_for(manage: Manage, tmp_path: Path) -> None:
    assert manage("migrate").returncode == 0
    assert "warning  backup       None has been made yet." in manage("doctor").stdout
    assert manage("backup", str(tmp_path / "backup")).returncode == 0
    assert "ok       backup       The last one ended " in manage("doctor").stdout


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


@pytest.mark.django_db(transaction=True)
def test_a_backup_that_is_old(found: Any) -> None:
    tallies.add_now("backup", "ended")
    assert found("backup")[0].level is Level.OK
    Tally.objects.filter(kind="backup").update(updated_at=timezone.now() - timedelta(days=8))
    (old,) = found("backup")
    assert old.level is Level.WARNING
    assert "192.0 hours ago" in old.text
    assert "manage.py backup" in old.remedy
