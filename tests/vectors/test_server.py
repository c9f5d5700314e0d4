"""What the server engine does about a server that is slow, away or of another opinion."""

from __future__ import annotations

import json
from typing import Any

import grpc  # type: ignore[import-untyped]  # ships no types
import httpx
import numpy as np
import pytest
from grpc._channel import _InactiveRpcError, _RPCState  # type: ignore[import-untyped]  # what a stub raises
from qdrant_client import QdrantClient

from tests.processes import Manage
from tests.vectors.conftest import points
from vectors import VectorSettings, VectorStoreError, VectorsUnavailableError
from vectors.engines import server
from vectors.engines.server import ATTEMPTS, ServerEngine
from vectors.errors import CollectionGoneError

WELL = httpx.Response(200, json={"result": {"collections": [{"name": "a"}]}, "status": "ok", "time": 0})
BUSY = httpx.Response(429, headers={"Retry-After": "1"}, json={"status": {"error": "slow down"}})
SLOW = httpx.ReadTimeout("too slow")
AWAY = httpx.ConnectError("refused")


class Service:
    """Gives one answer after the other, the last one for ever."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = answers
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers[min(len(self.requests), len(self.answers) - 1)]
        self.requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def engine(self) -> ServerEngine:
        transport = httpx.MockTransport(self)
        return ServerEngine(QdrantClient(url="http://qdrant", check_compatibility=False, transport=transport))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_PAUSE_SECONDS", 0)


@pytest.mark.parametrize(
    "passing",
    [BUSY, SLOW, AWAY, httpx.Response(503), httpx.Response(429)],
    ids=["429 with a pause", "timeout", "no connection", "503", "429"],
)
def test_what_may_pass_is_tried_again(passing: httpx.Response | Exception) -> None:
    assert list(Service(passing, passing, WELL).engine().collections()) == ["a"]
    service = Service(passing)
    with pytest.raises(VectorsUnavailableError, match="does not answer"):
        service.engine().collections()
    assert len(service.requests) == ATTEMPTS


def test_a_refusal_is_not_tried_again() -> None:
    service = Service(httpx.Response(403, text="wrong key"))
    with pytest.raises(VectorStoreError, match=r"refused[\s\S]*wrong key") as raised:
        service.engine().collections()
    assert (len(service.requests), raised.type) == (1, VectorStoreError)


def test_a_lost_collection_is_made_again_by_the_next_write() -> None:
    client = QdrantClient(":memory:")
    engine = ServerEngine(client)
    engine.ensure("a", dimension=16, indexes={})
    client.delete_collection("a")
    engine.ensure("a", dimension=16, indexes={})
    assert list(engine.collections()) == []  # it asks once, not before every write

    gone = Service(httpx.Response(404, text="Collection `a` doesn't exist!"))
    lost = gone.engine()
    lost._ensured.add("a")
    with pytest.raises(VectorsUnavailableError, match="gone"):
        lost.upsert("a", points([1]))
    assert not lost._ensured


def test_a_collection_that_another_process_makes_first_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    made = httpx.Response(200, json={"result": {"exists": True}, "status": "ok", "time": 0})
    absent = httpx.Response(200, json={"result": {"exists": False}, "status": "ok", "time": 0})
    conflict = httpx.Response(409, text="Collection `a` already exists!")
    Service(absent, conflict, made).engine().ensure("a", dimension=16, indexes={})
    with pytest.raises(VectorStoreError, match="already exists"):
        Service(absent, conflict, absent).engine().ensure("a", dimension=16, indexes={})


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.UNAVAILABLE, VectorsUnavailableError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, VectorsUnavailableError),
        (grpc.StatusCode.NOT_FOUND, CollectionGoneError),
        (grpc.StatusCode.UNAUTHENTICATED, VectorStoreError),
    ],
)
def test_grpc_errors(
    monkeypatch: pytest.MonkeyPatch, code: grpc.StatusCode, error: type[VectorStoreError]
) -> None:
    def fail(**_: object) -> None:
        raise _InactiveRpcError(_RPCState((), (), (), code, "details"))

    client = QdrantClient(":memory:")
    monkeypatch.setattr(client, "get_collections", fail)
    with pytest.raises(VectorStoreError, match="details") as raised:
        ServerEngine(client).collections()
    assert raised.type is error


def test_the_settings_reach_the_client() -> None:
    settings = VectorSettings(
        path=None,  # type: ignore[arg-type]  # not used by a server
        url="https://qdrant.example:7000/prefix",
        api_key="key",
        prefer_grpc=True,
        timeout_seconds=2.5,
    )
    remote: Any = ServerEngine.create(settings)._client._client
    assert (remote.rest_uri, remote._api_key, remote._prefer_grpc, remote._timeout) == (
        "https://qdrant.example:7000/prefix",
        "key",
        True,
        3,
    )
    assert "key" not in repr(settings)


def test_the_environment_reaches_the_client(manage: Manage) -> None:
    tell = (
        "from vectors import get_face_store; it = get_face_store()._engine._client._client; "
        "print(it.rest_uri, it._api_key, it._prefer_grpc, it._timeout)"
    )
    chosen = {
        "URL": "https://q.example:7000",
        "API_KEY": "key",
        "PREFER_GRPC": "true",
        "TIMEOUT_SECONDS": "7",
    }
    done = manage("shell", "-c", tell, **{f"QDRANT_{name}": value for name, value in chosen.items()})
    assert done.stdout.splitlines()[-1:] == ["https://q.example:7000 key True 7"], done.stderr


def test_vectors_travel_as_they_are() -> None:
    done = httpx.Response(
        200, json={"result": {"operation_id": 1, "status": "completed"}, "status": "ok", "time": 0}
    )
    service = Service(done)
    (point,) = points([1])
    service.engine().upsert("a=2Fb", [point])
    (request,) = service.requests
    assert request.url.raw_path == b"/collections/a%3D2Fb/points?wait=true"

    sent = json.loads(request.content)["points"][0]
    np.testing.assert_array_equal(np.float32(sent["vector"]), point.vector)
