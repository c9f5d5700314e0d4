"""docker-compose.yml as it stands, on real services: from nothing to a photo that has been looked at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.compose import OURS, SERVICES, Composed, composed
from tests.factories import jpeg
from tests.processes import wait_until

ADMIN = {"FIRST_ADMIN_USERNAME": "ada", "FIRST_ADMIN_PASSWORD": "a password of hers"}
LONG_RUNNING = [name for name in OURS if name != "migrate" and "profiles" not in SERVICES[name]]

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Composed]:
    with composed(tmp_path, **ADMIN) as made:
        yield made


def test_it_works(store: Composed) -> None:
    assert store.start("migrate").wait(120) == 0, store.log("migrate")
    for name in LONG_RUNNING:
        store.start(name)
    wait_until(lambda: store.is_healthy("web"), seconds=60)
    for name in LONG_RUNNING:
        wait_until(lambda of=name: store.is_healthy(of), seconds=60)  # type: ignore[misc]
    with httpx.Client(base_url=f"http://127.0.0.1:{store.port}", timeout=30) as http:
        _look_at_a_photo(http)
        wait_until(lambda: http.get("/readyz").json()["parts"]["mqtt"]["word"] == "ok", seconds=30)
        ready = http.get("/readyz").json()
        assert {name for name, part in ready["parts"].items() if not part["is_well"]} <= {"sweep"}
        assert ready["parts"]["broker"]["word"] == ready["parts"]["vectors"]["word"] == "ok"
    for name in LONG_RUNNING:
        assert store.stop(name) == 0, store.log(name)
    for name in OURS:
        if name in store.processes:
            assert "Traceback" not in store.log(name), store.log(name)


def _look_at_a_photo(http: httpx.Client) -> None:
    form = {"username": ADMIN["FIRST_ADMIN_USERNAME"], "password": ADMIN["FIRST_ADMIN_PASSWORD"]}
    token = http.post("/auth/token", data=form).json()["access_token"]
    http.headers["Authorization"] = f"Bearer {token}"
    stored = http.post("/entities", data={"is_collection": "false"}, files={"media_file": ("x", jpeg(1))})
    assert stored.status_code == 201, stored.text
    path = f"/intelligence/entities/{stored.json()['id']}"
    wait_until(lambda: (http.get(path).json() or {}).get("overall_status") == "completed", seconds=90)
    assert http.get(f"{path}/clip_embedding").status_code == 200, "there is a vector of it"


def test_a_web_process_without_its_database_is_not_healthy(store: Composed) -> None:
    """Nothing was migrated: it does not start, and the check says so."""
    assert not store.is_healthy("web")
