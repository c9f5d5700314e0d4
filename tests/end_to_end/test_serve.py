"""The whole store as its users meet it: a process with a port, photos over HTTP, answers over HTTP."""

from __future__ import annotations

import io
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from intelligence.compute.base import ComputeSettings
from intelligence.compute.fake import FakeModels
from store_project.demo_photos import make_families
from tests.factories import jpeg
from tests.processes import Manage, wait_until
from tests.store_at_rest import violations

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.timeout(180)]


@dataclass(frozen=True)
class Server:
    process: subprocess.Popen[str]
    http: httpx.Client

    def upload(self, content: bytes, **fields: Any) -> dict[str, Any]:
        answer = self.http.post(
            "/entities",
            data={"is_collection": "false", **fields},
            files={"media_file": ("any.name", content)},
        )
        assert answer.status_code == 201, answer.text
        entity: dict[str, Any] = answer.json()
        return entity

    def get(self, path: str) -> Any:
        answer = self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def embedding(self, entity_id: int) -> Any:
        file = self.http.get(f"/intelligence/entities/{entity_id}/clip_embedding").content
        return np.load(io.BytesIO(file))

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()[0]
        try:
            return self.http.get("/").status_code == 200
        except httpx.TransportError:
            return False

    def is_completed(self, entity_id: int) -> bool:
        row = self.get(f"/intelligence/entities/{entity_id}")
        return row is not None and row["overall_status"] == "completed"

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, output
        return output


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(manage: Manage, *options: str, **env: str) -> Iterator[Server]:
    port = free_port()
    with (
        manage.started("serve", "--port", str(port), *options, AUTH_DISABLED="true", **env) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        server = Server(process, http)
        wait_until(server.is_up)
        yield server


def test_it_works(manage: Manage, server_dir: Path, tmp_path: Path) -> None:
    """Upload, history, reconciliation, jobs, callbacks, vectors, look-alikes: through the real worker."""
    make_families(tmp_path / "photos")
    astronaut = (tmp_path / "photos" / "astronaut.original.png").read_bytes()
    half = (tmp_path / "photos" / "astronaut.half.jpg").read_bytes()
    coffee = (tmp_path / "photos" / "coffee.original.png").read_bytes()

    with serving(manage) as server:
        first, second, third = [server.upload(content) for content in (astronaut, half, coffee)]
        for entity in (first, second, third):
            wait_until(lambda pk=entity["id"]: server.is_completed(pk))  # type: ignore[misc]

        row = server.get(f"/intelligence/entities/{first['id']}")
        assert row["face_count"] == 1
        assert row["last_processed_md5"] == first["md5"]
        assert {job["task_type"]: job["status"] for job in row["job_history"]} == {
            "face_detection": "completed",
            "clip_embedding": "completed",
            "dino_embedding": "completed",
            "face_embedding": "completed",
        }
        (face,) = server.get(f"/intelligence/entities/{first['id']}/faces")
        assert 0 < face["bbox"]["x1"] < face["bbox"]["x2"] < 1
        for space in ("clip", "dino"):
            similar = server.get(f"/intelligence/entities/{first['id']}/similar?space={space}")
            assert [hit["entity_id"] for hit in similar["results"]] == [second["id"]]
            assert similar["results"][0]["score"] > 0.9
        words = server.http.get("/intelligence/search?text=astronaut")
        assert words.status_code == 503
        assert "understands no text" in words.json()["detail"]
        assert server.http.get(first["media_url"]).content == astronaut
        assert server.http.get(first["preview_url"]).headers["Content-Type"] == "image/png"
        assert "Stopping" in server.stop()

    assert violations(server_dir) == []


def test_searching_by_words_and_by_a_picture(manage: Manage, server_dir: Path) -> None:
    """Through a worker that turns them into vectors; with a model that knows words, be they made up."""
    with serving(manage, COMPUTE_BACKEND="fake") as server:
        ids = [server.upload(jpeg(seed))["id"] for seed in range(4)]
        wait_until(lambda: all(server.is_completed(pk) for pk in ids))
        wanted = FakeModels(ComputeSettings(Path())).embed_text("a dog on a beach")
        cosines = {pk: float(server.embedding(pk) @ wanted) for pk in ids}

        by_words = server.get("/intelligence/search?text=a+dog+on+a+beach")
        picture = {"image": ("any.name", jpeg(2))}
        by_picture = server.http.post("/intelligence/search", data={"space": "both"}, files=picture)

        assert [hit["entity_id"] for hit in by_words["results"]] == sorted(ids, key=lambda pk: -cosines[pk])
        assert by_picture.json()["results"][0]["entity_id"] == ids[2]
        assert by_picture.json()["results"][0]["score"] == pytest.approx(1, abs=1e-5)
        server.stop()

    assert violations(server_dir) == []


def test_a_second_worker_is_refused(manage: Manage, server_dir: Path) -> None:
    with serving(manage):
        second = manage("serve", "--port", str(free_port()))

    assert second.returncode == 1
    assert "Another process works on" in second.stderr


def test_the_next_start_carries_on(manage: Manage, server_dir: Path) -> None:
    """After SIGKILL, and after a SIGTERM that left no time for the jobs under way."""
    with serving(manage) as server:
        ids = [server.upload(jpeg(seed, size=(1200, 900)))["id"] for seed in range(6)]
        server.process.kill()
    with serving(manage, "--grace", "0") as server:
        ids += [server.upload(jpeg(seed, size=(1200, 900)))["id"] for seed in range(6, 12)]
        server.stop()
    with serving(manage) as server:
        wait_until(lambda: all(server.is_completed(pk) for pk in ids))
        server.stop()

    assert violations(server_dir) == []


def test_ingest_beside_a_running_server(manage: Manage, server_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(jpeg(1))
    with serving(manage) as server:
        ingested = manage("ingest", str(tmp_path / "photo.jpg"), "--wait")
        assert ingested.returncode == 0, ingested.stderr
        assert server.is_completed(server.get("/entities")["items"][0]["id"])
        server.stop()

    assert violations(server_dir) == []


def test_web_only_leaves_the_work(manage: Manage, server_dir: Path) -> None:
    with serving(manage, "--no-worker") as server:
        entity = server.upload(jpeg(1))
        assert server.get(f"/intelligence/entities/{entity['id']}") is None
        server.stop()


def test_what_is_configured_by_half_is_refused(manage: Manage) -> None:
    half = {"COMPUTE_SERVICE_URL": "http://compute.example", "COMPUTE_USERNAME": "worker"}
    refused = manage("serve", "--port", "1", **half)

    assert refused.returncode == 2
    assert "the login also needs AUTH_SERVICE_URL, COMPUTE_PASSWORD" in refused.stderr
    assert "Traceback" not in refused.stderr
