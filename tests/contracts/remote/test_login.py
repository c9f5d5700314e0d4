"""Against a compute service that is slow, away, or lies: logging in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from intelligence.compute import remote_tokens
from intelligence.compute.base import (
    ComputeUnavailableError,
    JobState,
)
from intelligence.compute.remote import RemoteComputeClient
from tests.contracts import compute_service
from tests.contracts.compute_service import USERNAME, ComputeService
from tests.contracts.faults import sends
from tests.contracts.remote.given import CLIP, MakeClient

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])


@pytest.fixture
def closed(service: ComputeService) -> ComputeService:
    """The service in auth mode."""
    service.wants_login = True
    return service


def logins(service: ComputeService) -> list[str]:
    return [request.path for request in service.requests("POST", "/auth")]


def test_one_login_serves_many(closed: ComputeService, make_client: MakeClient, photo: Path) -> None:
    client = make_client()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.submit(CLIP, photo, {}, str(key)), range(16)))
    assert len(closed.jobs) == 16
    assert logins(closed) == ["/auth/token"]


def test_a_token_that_ends_soon_is_refreshed(
    closed: ComputeService, make_client: MakeClient, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_tokens, "TRUSTED_FOR_SECONDS", 0.0)
    closed.token_lifetime = remote_tokens.RENEW_BEFORE_SECONDS - 1
    client = make_client()
    client.submit(CLIP, photo, {}, "key")
    client.submit(CLIP, photo, {}, "key")
    assert logins(closed) == ["/auth/token", "/auth/token/refresh"]


def test_a_refresh_that_fails_is_followed_by_a_login(
    closed: ComputeService, make_client: MakeClient, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_tokens, "TRUSTED_FOR_SECONDS", 0.0)
    closed.token_lifetime, closed.can_refresh = 5, False
    client = make_client()
    client.submit(CLIP, photo, {}, "key")
    client.submit(CLIP, photo, {}, "key")
    assert logins(closed) == ["/auth/token", "/auth/token/refresh", "/auth/token"]


def test_a_token_that_is_refused_is_replaced(
    closed: ComputeService, make_client: MakeClient, photo: Path
) -> None:
    client = make_client()
    job_id = client.submit(CLIP, photo, {}, "key")
    closed.tokens.clear()
    assert client.get(job_id).state is JobState.QUEUED
    assert logins(closed) == ["/auth/token"] * 2


def test_a_clock_that_is_ahead_does_not_refresh_at_every_request(
    closed: ComputeService, make_client: MakeClient, photo: Path
) -> None:
    closed.token_lifetime = -3600
    client = make_client()
    for _ in range(3):
        client.submit(CLIP, photo, {}, "key")
    assert logins(closed) == ["/auth/token"]


def test_a_wrong_password_is_not_tried_again_and_again(
    closed: ComputeService, make_client: MakeClient, photo: Path
) -> None:
    client = make_client(password="wrong")
    for _ in range(5):
        with pytest.raises(ComputeUnavailableError, match=f"login of {USERNAME} .* refused: Incorrect"):
            client.submit(CLIP, photo, {}, "key")
    assert logins(closed) == ["/auth/token"]


def test_a_service_that_wants_a_login_and_gets_none(
    service: ComputeService, client: RemoteComputeClient, photo: Path
) -> None:
    service.wants_login = True
    with pytest.raises(ComputeUnavailableError, match="it wants a COMPUTE_USERNAME"):
        client.submit(CLIP, photo, {}, "key")


@pytest.mark.parametrize(
    "answer", [b"<html>", b"{}", b'{"access_token": "a\\r\\nX: y"}', b'{"access_token": ""}']
)
def test_an_answer_without_a_token(
    closed: ComputeService, make_client: MakeClient, photo: Path, answer: bytes
) -> None:
    closed.misbehave("POST", "/auth/token", sends(answer))
    with pytest.raises(ComputeUnavailableError, match="login service"):
        make_client().submit(CLIP, photo, {}, "key")


def test_the_password_is_shown_nowhere(closed: ComputeService, tmp_path: Path) -> None:
    assert compute_service.PASSWORD not in repr(closed.settings(tmp_path))
