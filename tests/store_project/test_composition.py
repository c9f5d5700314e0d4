from __future__ import annotations

import sys
from typing import Any

import pytest

from intelligence.compute.fake import FakeComputeClient
from intelligence.compute.remote import RemoteComputeClient
from intelligence.vocabulary import TaskType
from store_project.composition import compute_client
from store_project.config import ConfigError

SERVICE = {"COMPUTE_SERVICE_URL": "http://compute.example:8012/"}
LOGIN = {
    "AUTH_SERVICE_URL": "http://auth.example:8010",
    "COMPUTE_USERNAME": "worker",
    "COMPUTE_PASSWORD": "sesame",
}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(**env: str) -> Any:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return compute_client(lambda _ids: None)

    return make


def test_without_a_service_the_backend_decides(made: Any) -> None:
    assert isinstance(made(COMPUTE_BACKEND="fake"), FakeComputeClient)


def test_a_service_is_spoken_to_where_one_is_named(made: Any) -> None:
    client = made(**SERVICE, **LOGIN, CLIP_VECTOR_SIZE="768", COMPUTE_SERVICE_MODELS="large")
    assert isinstance(client, RemoteComputeClient)
    assert client._service.url == "http://compute.example:8012"
    assert client._tokens is not None
    assert client.capabilities().models[TaskType.CLIP_EMBEDDING].name == "large-clip-768"
    client.close()


def test_a_guest_needs_no_login(made: Any) -> None:
    client = made(**SERVICE, AUTH_SERVICE_URL="http://auth.example:8010")
    assert client._tokens is None
    client.close()


@pytest.mark.parametrize("missing", sorted(LOGIN))
def test_half_a_login_is_a_mistake(made: Any, missing: str) -> None:
    with pytest.raises(ConfigError, match=f"the login also needs {missing}"):
        made(**SERVICE, **{**LOGIN, missing: ""})


def test_a_missing_extra_is_named(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "intelligence.compute.remote")
    with pytest.raises(ConfigError, match="Install the extra `remote`"):
        made(**SERVICE)
