"""In the one process that is the whole store: an image that kills whatever looks at it, or holds it for ever,
fails; the store goes on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.test_serve import Server, serving
from tests.intelligence.compute.onnx.layouts import write_endless_tower
from tests.pictures import painted
from tests.processes import Manage, children_of, has_loaded, wait_until
from tests.store_at_rest import violations

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.timeout(300)]

ATTEMPTS = 3


@pytest.fixture
def env(server_dir: Path) -> dict[str, str]:
    """A model that never comes to an answer of a picture that is white."""
    write_endless_tower(server_dir / "models" / "mean.onnx")
    return {"DINO_MODEL": "mean"}


def test_an_image_that_holds_its_model_for_ever(
    manage: Manage, server_dir: Path, env: dict[str, str]
) -> None:
    with serving(manage, DJANGO_SETTINGS_MODULE="tests.impatient", **env) as server:
        endless = server.upload(painted("white"))["id"]
        good = server.upload(painted("teal"))["id"]
        wait_until(lambda: server.is_completed(good))
        wait_until(lambda: _told(server, endless)["overall_status"] == "failed", seconds=120)
        assert _reason(server, endless) == (
            f"Given up: {ATTEMPTS} runs ended without an answer. It took longer than 5 seconds."
        )
        late = server.upload(painted("navy"))["id"]
        wait_until(lambda: server.is_completed(late))
        server.stop()

    assert violations(server_dir) == ["entity 1 failed"]


def test_an_image_that_kills_whatever_looks_at_it(
    manage: Manage, server_dir: Path, env: dict[str, str]
) -> None:
    with serving(manage, INFERENCE_CONCURRENCY="1", **env) as server:
        deadly = server.upload(painted("white"))["id"]
        with killing(server.process.pid, signal.SIGSEGV):
            wait_until(lambda: _told(server, deadly)["overall_status"] == "failed", seconds=120)
        assert _reason(server, deadly) == (
            f"Given up: {ATTEMPTS} runs ended without an answer. "
            "The process that looked at the image died (SIGSEGV)."
        )
        late = server.upload(painted("navy"))["id"]
        wait_until(lambda: server.is_completed(late))
        server.stop()

    assert violations(server_dir) == ["entity 1 failed"]


def test_its_processes_end_with_the_store(manage: Manage, server_dir: Path, env: dict[str, str]) -> None:
    """Whether it is stopped or killed."""
    ends: list[Callable[[Server], Any]] = [Server.stop, lambda server: server.process.kill()]
    for end in ends:
        with serving(manage, **env) as server:
            entity = server.upload(painted("teal" if end is ends[0] else "navy"))["id"]
            wait_until(lambda: server.is_completed(entity))  # noqa: B023
            looking = children_of(server.process.pid)
            assert looking
            end(server)
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in looking), seconds=10)  # noqa: B023


@contextmanager
def killing(store: int, number: int) -> Iterator[None]:
    """Whatever the store has started to look at images, once that has run for a second: a white one holds
    it."""
    ended = threading.Event()

    def kill() -> None:
        seen: set[int] = set()
        while not ended.wait(1.0):
            now = set(children_of(store))
            for pid in now & seen:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            seen = {pid for pid in now if has_loaded(pid, "onnxruntime")}

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _told(server: Server, entity_id: int) -> Any:
    return server.get(f"/intelligence/entities/{entity_id}") or {"overall_status": None}


def _reason(server: Server, entity_id: int) -> str:
    (failed,) = [job for job in _told(server, entity_id)["job_history"] if job["status"] == "failed"]
    return str(failed["error_message"])
