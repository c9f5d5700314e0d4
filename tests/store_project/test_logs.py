"""JSON lines: what they carry, and that an image can be followed through them from upload to vector."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import httpx
import pytest

from entities import trail
from store_project.logs import JsonFormatter
from tests.end_to_end.test_serve import serving
from tests.factories import jpeg
from tests.processes import Manage, wait_until
from tests.tokens import nobody

STAGES = ["stored", "queued", "handed out", "started", "applied", "completed"]
FAKE = {"COMPUTE_BACKEND": "fake", "FIRST_ADMIN_USERNAME": "root"}
SECRETS = {
    "SECRET_KEY": "secret-key-4c1d",
    "FIRST_ADMIN_PASSWORD": "correct horse 8f2e",
    "METRICS_TOKEN": "metrics-token-77aa",
    "QDRANT_API_KEY": "qdrant-key-5b5b",
    "COMPUTE_PASSWORD": "compute-password-3d3d",
}


def formatted(record: logging.LogRecord) -> Any:
    return json.loads(JsonFormatter().format(record))


def test_it_works() -> None:
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": "%s\nof", "args": ("two",)})
    record.entity_ids = [7]
    with trail.within(request_id="r-1"):
        line = formatted(record)
    assert (line["message"], line["logger"], line["level"]) == ("two\nof", "x", "INFO")
    assert (line["request_id"], line["entity_ids"]) == ("r-1", [7])
    assert "request_id" not in formatted(record)


def test_an_error_is_one_line() -> None:
    error = ValueError("why")
    record = logging.getLogger("x").makeRecord(
        "x", logging.ERROR, "f", 1, "no", (), (ValueError, error, error.__traceback__)
    )
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert "ValueError: why" in json.loads(text)["error"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [("abc-123_X.y", True), ("", False), ("x" * 65, False), ("two words", False), ('"}\n{"', False)],
)
@pytest.mark.django_db
def test_an_id_of_the_caller_is_kept_if_it_is_one(given: str, kept: bool) -> None:  # noqa: FBT001
    answer = nobody().get("/", HTTP_X_REQUEST_ID=given)
    assert (answer.headers["X-Request-ID"] == given) == kept
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", answer.headers["X-Request-ID"])


def lines_of(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


@pytest.mark.allow_hosts(["127.0.0.1"])
@pytest.mark.timeout(180)
def test_an_image_is_followed_from_upload_to_vector(manage: Manage) -> None:
    with serving(manage, LOG_FORMAT="json", LOG_LEVEL="DEBUG", **FAKE, **SECRETS) as server:
        token = _log_in(server.http)
        photos = [server.upload(jpeg(seed)) for seed in (1, 2)]
        for photo in photos:
            wait_until(lambda pk=photo["id"]: server.is_completed(pk))  # type: ignore[misc]
        server.http.get("/metrics", headers={"Authorization": f"Bearer {SECRETS['METRICS_TOKEN']}"})
        server.http.get("/metrics", headers={"Authorization": f"Bearer {token}"})
        signed = server.get(f"/entities/{photo['id']}")["media_url"]
        server.http.get(signed)
        log = server.stop()
    lines = lines_of(log)
    asked = [_stages(lines, photo["id"])["stored"]["request_id"] for photo in photos]
    assert [list(_stages(lines, photo["id"])) for photo in photos] == [STAGES, STAGES]
    # What one request alone has asked for carries its id through every task. Two that come at once are
    # served by one task, and a beat may be faster than both.
    assert any(_is_followed(lines, photo["id"]) for photo in photos)
    told = [line for line in lines if line["logger"] == "store_project.requests"]
    assert {"method": "POST", "route": "/entities", "status": 201}.items() <= next(
        line for line in told if line["request_id"] == asked[0]
    ).items()
    for secret in [*SECRETS.values(), token, signed.partition("?")[2]]:
        assert secret not in log


def _stages(lines: list[dict[str, Any]], entity_id: int) -> dict[str, dict[str, Any]]:
    """The first line of each stage, in the order of STAGES."""
    found = {line["stage"]: line for line in reversed(lines) if entity_id in line.get("entity_ids", [])}
    return {stage: found[stage] for stage in STAGES if stage in found}


def _is_followed(lines: list[dict[str, Any]], entity_id: int) -> bool:
    stages = _stages(lines, entity_id)
    tasks = [stages[stage] for stage in STAGES[1:]]
    return all(line.get("task_id") and line.get("request_id") for line in tasks) and {
        line["request_id"] for line in stages.values()
    } == {stages["stored"]["request_id"]}


def _log_in(http: httpx.Client) -> str:
    form = {"username": "root", "password": SECRETS["FIRST_ADMIN_PASSWORD"]}
    answer = http.post("/auth/token", data=form)
    return str(answer.json()["access_token"])
