"""What clients hear over MQTT, with the real broker and the real worker."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from intelligence.broadcast import Topics
from store_project.config import BASE_DIR
from tests.deployment import own_redis_database
from tests.end_to_end.test_serve import Server, serving
from tests.factories import jpeg
from tests.mqtt import BROKER, Listener, kept, listening, own_topic_port
from tests.processes import Manage, wait_until

pytestmark = [pytest.mark.services("mosquitto"), pytest.mark.timeout(180)]


@pytest.fixture
def topics() -> Iterator[Topics]:
    with own_topic_port() as port:
        yield Topics(port)


@pytest.fixture
def redis_url() -> Iterator[str]:
    with own_redis_database() as url:
        yield url


def broker(topics: Topics) -> dict[str, str]:
    return {"MQTT_BROKER": BROKER, "MQTT_TOPIC_PORT": str(topics.port), "COMPUTE_BACKEND": "fake"}


def all_of(topics: Topics) -> tuple[str, str]:
    return f"store/{topics.port}/#", f"mInsight/{topics.port}/#"


def words(listener: Listener, topic: str) -> list[str | None]:
    """The status words in the order in which they were heard, each stretch once."""
    said = [message and message["status"] for message in listener.of(topic)]
    return [word for word, _ in groupby(said)]


def has_read_one(listener: Listener, topics: Topics) -> bool:
    said = listener.last(topics.worker)
    return (said["status"], said["processed_count"], said["version_end"]) == ("idle", 1, 1)


def delete(server: Server, entity_id: int) -> None:
    assert server.http.patch(f"/entities/{entity_id}", data={"is_deleted": "true"}).status_code == 200
    assert server.http.delete(f"/entities/{entity_id}").status_code == 204


def test_it_works(manage: Manage, server_dir: Path, topics: Topics) -> None:
    """From the start of the server to its end; with one who listens all the time, and latecomers."""
    with listening(*all_of(topics)) as early, serving(manage, **broker(topics)) as server:
        wait_until(lambda: words(early, topics.worker) == ["idle"])
        photo = server.upload(jpeg(1))
        status = topics.entity(photo["id"])
        wait_until(lambda: "completed" in words(early, status))

        (item,) = early.of(topics.items)
        assert item == {"id": photo["id"], "md5": photo["md5"], "timestamp": item["timestamp"]}
        assert abs(item["timestamp"] - photo["added_date"]) < 5000
        heard: list[Any] = words(early, status)
        assert heard in (
            [None, "queued", "processing", "completed"],  # some may have passed before they were read
            [None, "processing", "completed"],
            ["queued", "processing", "completed"],
            ["processing", "completed"],
        )
        data = server.get(f"/intelligence/entities/{photo['id']}")
        tasks = data["inference_status"]
        assert early.last(status) == {
            "entity_id": photo["id"],
            "status": "completed",
            "timestamp": early.last(status)["timestamp"],
            "face_detection": "completed",
            "face_count": data["face_count"],
            "clip_embedding": "completed",
            "dino_embedding": "completed",
            "face_embeddings": tasks["face_embeddings"],
        }
        assert kept(status) == [early.last(status)]
        assert kept(topics.items) == []

        wait_until(lambda: has_read_one(early, topics))
        assert words(early, topics.worker) in (["idle"], ["idle", "running", "idle"])  # it can be too short
        assert server.get("/m_insight/status")["status"] == "idle"

        delete(server, photo["id"])
        wait_until(lambda: early.last(status) is None)
        wait_until(lambda: kept(status) == [])
        server.stop()
        wait_until(lambda: early.last(topics.worker)["status"] == "offline")
        assert kept(topics.worker) == [early.last(topics.worker)]


def test_the_last_will_speaks_for_a_worker_that_was_killed(
    manage: Manage, server_dir: Path, topics: Topics
) -> None:
    with listening(*all_of(topics)) as listener, serving(manage, **broker(topics)) as server:
        wait_until(lambda: words(listener, topics.worker) == ["idle"])
        server.process.kill()
        wait_until(lambda: words(listener, topics.worker) == ["idle", "offline"], seconds=5)
    assert [said["status"] for said in kept(topics.worker)] == ["offline"]


def test_a_broker_that_is_away_costs_only_the_messages(
    manage: Manage, server_dir: Path, topics: Topics
) -> None:
    nobody = {**broker(topics), "MQTT_PORT": "1"}
    with serving(manage, **nobody) as server:
        photo = server.upload(jpeg(1))
        wait_until(lambda: server.is_completed(photo["id"]))
        assert server.get("/m_insight/status")["status"] == "idle"
        output = server.stop()
    assert output.count("The MQTT broker at 127.0.0.1:1 is away") == 1


@pytest.mark.services("mosquitto", "redis")
def test_a_worker_of_several_processes(
    manage: Manage, server_dir: Path, topics: Topics, tmp_path: Path, redis_url: str
) -> None:
    """The web side asks it by a task; the process that reads history is not the one that is present."""
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg(1))
    scaled = {**broker(topics), "CELERY_BROKER_URL": redis_url}
    assert manage("migrate", **scaled, QDRANT_URL="http://127.0.0.1:1").returncode == 0
    with listening(*all_of(topics)) as listener:
        with worker(server_dir, scaled) as process:
            wait_until(lambda: words(listener, topics.worker) == ["idle"])
            manage("ingest", str(photo), **scaled, QDRANT_URL="http://127.0.0.1:1")
            wait_until(lambda: "completed" in words(listener, topics.entity(1)))
            # Another of its processes tells of the upload: nobody promises which of the two is heard first.
            wait_until(lambda: [item["id"] for item in listener.of(topics.items)] == [1])
            wait_until(lambda: has_read_one(listener, topics))
            process.kill()
            wait_until(lambda: words(listener, topics.worker)[-1] == "offline", seconds=10)
        with worker(server_dir, scaled) as process:
            wait_until(lambda: words(listener, topics.worker)[-1] == "idle")
            process.terminate()
            process.wait(30)
        wait_until(lambda: words(listener, topics.worker)[-1] == "offline")
    assert word_in_the_database(server_dir) == "offline"


@contextmanager
def worker(server_dir: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "store_project", "worker", "-P", "prefork", "-c", "1"],
        cwd=BASE_DIR,
        env={**os.environ, "CL_SERVER_DIR": str(server_dir), "DATABASE_URL": "", **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the processes of its pool


def word_in_the_database(server_dir: Path) -> str:
    with closing(sqlite3.connect(server_dir / "store.db")) as database:
        query = "SELECT value ->> '$.status' FROM entities_serviceconfig WHERE key = 'worker_status'"
        (word,) = database.execute(query).fetchone()
        return str(word)
