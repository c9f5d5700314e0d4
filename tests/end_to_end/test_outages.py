"""What the store stands on goes away under load and comes back: nothing is lost, /readyz tells the truth."""

from __future__ import annotations

import hashlib
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import own_services
from tests.deployment import Deployment, deployed, kill
from tests.end_to_end.test_serve import serving
from tests.factories import jpeg
from tests.own_services import OwnService
from tests.processes import Manage, wait_until

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.timeout(500)]

AWAY_SECONDS = 4.0
READY_SECONDS = 2.5
"""Two, and what the rest of an answer takes."""


@dataclass
class Load(threading.Thread):
    """Uploads photos, one after another, until it is stopped."""

    url: str
    accepted: dict[int, str] = field(default_factory=dict)
    refused: list[int] = field(default_factory=list)
    longest: float = 0.0

    def __post_init__(self) -> None:
        super().__init__(daemon=True)
        self._stopping = threading.Event()

    def __hash__(self) -> int:
        return id(self)

    def run(self) -> None:
        seed = 0
        with httpx.Client(base_url=self.url, timeout=60) as http:
            while not self._stopping.wait(0.05):
                seed += 1
                self._upload(http, jpeg(seed))

    def _upload(self, http: httpx.Client, content: bytes) -> None:
        began = time.monotonic()
        answer = http.post("/entities", data={"is_collection": "false"}, files={"media_file": ("x", content)})
        self.longest = max(self.longest, time.monotonic() - began)
        if answer.status_code in {200, 201}:
            self.accepted[answer.json()["id"]] = hashlib.md5(content, usedforsecurity=False).hexdigest()
        else:
            self.refused.append(answer.status_code)

    def stop(self) -> None:
        self._stopping.set()
        self.join(90)


@dataclass(frozen=True)
class Stage:
    store: Deployment
    load: Load
    services: dict[str, OwnService]

    def ready(self) -> tuple[int, Any]:
        """In its time. What else this machine does is seen by how long an answer takes that asks nothing."""
        slowness = _timed(lambda: httpx.get(f"{self.store.url}/healthz", timeout=30))
        began = time.monotonic()
        answer = httpx.get(f"{self.store.url}/readyz", timeout=30)
        assert time.monotonic() - began < READY_SECONDS + 2 * slowness
        return answer.status_code, answer.json()

    def says(self, part: str, *words: str) -> bool:
        return self.ready()[1]["parts"][part]["word"] in words

    def goes_on(self, more: int = 5) -> None:
        before = len(self.load.accepted)
        wait_until(lambda: len(self.load.accepted) >= before + more)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        services = {
            "database": stack.enter_context(own_services.postgresql()),
            "broker": stack.enter_context(own_services.redis()),
            "mqtt": stack.enter_context(own_services.mosquitto()),
        }
        store = stack.enter_context(
            deployed(
                tmp_path,
                DATABASE_URL=f"postgresql://postgres@127.0.0.1:{services['database'].port}/postgres",
                CELERY_BROKER_URL=f"redis://127.0.0.1:{services['broker'].port}/0",
                MQTT_BROKER="127.0.0.1",
                MQTT_PORT=str(services["mqtt"].port),
            )
        )
        for process in _workers(store):
            stack.callback(kill, process)
        httpx.get(f"{store.url}/readyz", timeout=60)  # the first answer of a process loads much else
        load = Load(store.url)
        load.start()
        stack.callback(load.stop)
        yield Stage(store, load, services)


def _workers(store: Deployment) -> Iterator[subprocess.Popen[bytes]]:
    yield store.start_worker("one")
    schedule = str(store.server_dir / "schedule")
    yield store.start("-m", "celery", "-A", "store_project", "beat", "--schedule", schedule)


def test_it_works(stage: Stage) -> None:
    wait_until(lambda: stage.ready()[1]["status"] in {"ready", "degraded"})
    stage.goes_on()

    _mqtt_goes(stage)
    _the_broker_goes(stage)
    _the_broker_hangs(stage)
    _the_database_goes(stage)

    stage.goes_on()
    stage.load.stop()
    _nothing_was_lost(stage)


def _mqtt_goes(stage: Stage) -> None:
    wait_until(lambda: stage.says("mqtt", "ok"), seconds=30)
    stage.services["mqtt"].kill()
    wait_until(lambda: stage.says("mqtt", "away"), seconds=10)
    stage.goes_on(20)
    stage.services["mqtt"].start()
    wait_until(lambda: stage.says("mqtt", "ok"), seconds=60)
    assert (stage.load.refused, stage.ready()[0]) == ([], 200)


def _the_broker_goes(stage: Stage) -> None:
    """Uploads go on; they are looked at when it is back."""
    stage.services["broker"].kill()
    wait_until(lambda: stage.says("broker", "away"), seconds=10)
    code, told = stage.ready()
    assert (code, told["status"]) == (200, "degraded")
    assert told["parts"]["database"]["is_well"]
    stage.goes_on(10)
    assert told["parts"]["broker"]["age_seconds"] < 30
    stage.services["broker"].start()
    wait_until(lambda: stage.says("broker", "ok"), seconds=10)
    assert stage.load.refused == []


def _the_broker_hangs(stage: Stage) -> None:
    """The worst of it: it takes connections. A request waits as long as a socket may, and no longer."""
    stage.services["broker"].freeze()
    wait_until(lambda: stage.says("broker", "away", "hangs"), seconds=15)
    stage.goes_on(2)
    stage.services["broker"].thaw()
    wait_until(lambda: stage.says("broker", "ok"), seconds=30)
    assert stage.load.refused == []
    assert stage.load.longest < 30


def _the_database_goes(stage: Stage) -> None:
    stage.services["database"].kill(signal.SIGQUIT)
    wait_until(lambda: stage.ready()[0] == 503, seconds=10)
    assert stage.ready()[1]["parts"]["database"]["word"] == "away"
    assert httpx.get(f"{stage.store.url}/healthz").status_code == 200, "the process lives"
    wait_until(lambda: bool(stage.load.refused))
    time.sleep(AWAY_SECONDS)
    assert set(stage.load.refused) <= {503, 500}
    assert 503 in stage.load.refused
    stage.services["database"].start()
    wait_until(lambda: stage.ready()[0] == 200, seconds=30)


def _nothing_was_lost(stage: Stage) -> None:
    with suppress(AssertionError):  # then what is unfinished says more
        wait_until(lambda: _unfinished(stage) == [], seconds=240)
    assert _unfinished(stage) == []
    stored = dict(stage.store.query("SELECT id, md5 FROM entities_entity"))
    assert stage.load.accepted.items() <= stored.items()
    assert len(stage.load.accepted) > 40
    assert stage.store.at_rest().violations() == []
    assert (
        stage.store.query(
            "SELECT error_message FROM intelligence_imageintelligence WHERE error_message <> ''"
        )
        == []
    )


def _unfinished(stage: Stage) -> list[tuple[Any, ...]]:
    """With their jobs."""
    return stage.store.query("""
        SELECT e.id, i.processing_status, j.task_type, j.status, j.attempts, j.not_before, j.error_message
        FROM entities_entity e LEFT JOIN intelligence_imageintelligence i ON i.entity_id = e.id
        LEFT JOIN intelligence_entityjob j ON j.entity_id = e.id
        WHERE NOT e.is_deleted AND coalesce(i.processing_status, '') NOT IN ('completed', 'failed')
    """)


# --- No request waits for MQTT, with the broadcaster in the very process that answers ---


def test_no_request_waits_for_a_broker_that_flaps(manage: Manage, server_dir: Path) -> None:
    with own_services.mosquitto() as broker:
        env = {"MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(broker.port), "COMPUTE_BACKEND": "fake"}
        with serving(manage, **env) as server:
            seeds = iter(range(1, 1000))

            def seconds() -> list[float]:
                return [_timed(lambda: server.upload(jpeg(next(seeds)))) for _ in range(15)]

            there = seconds()
            broker.freeze()
            frozen = seconds()
            broker.thaw()
            broker.kill()
            away = seconds()
            flapping: list[float] = []
            for _ in range(3):
                broker.start()
                flapping += seconds()[:5]
                broker.kill()
            broker.start()
            last = server.upload(jpeg(next(seeds)))
            wait_until(lambda: server.is_completed(last["id"]))
            output = server.stop()
    assert "Traceback" not in output
    usual = statistics.median(there)
    for found in (frozen, away, flapping):
        assert statistics.median(found) < 3 * usual + 0.2
        assert max(found) < max(there) + 5, "no time-out of the network"


def _timed(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began
