from __future__ import annotations

import os
import sys
from typing import Any

import pytest
from pytest_django import Settings

from intelligence.compute.fake import FakeComputeClient
from intelligence.compute.isolation import IsolatedComputeClient
from intelligence.compute.remote import RemoteComputeClient
from intelligence.vocabulary import TaskType
from store_project.composition import compute_client
from store_project.config import ConfigError
from store_project.runtime import inference_concurrency

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
    for module in ("remote", "remote_http"):
        monkeypatch.delitem(sys.modules, f"intelligence.compute.{module}")
    with pytest.raises(ConfigError, match="Install the extra `remote`"):
        made(**SERVICE)


@pytest.mark.django_db
def test_one_process_of_threads_looks_in_others(made: Any, settings: Settings) -> None:
    """Workers of a broker are processes already."""
    assert isinstance(made(), IsolatedComputeClient)
    settings.EMBEDDED_BROKER = False
    assert not isinstance(made(), IsolatedComputeClient)


def test_as_many_at_once_as_the_machine_can_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 5 * 1024**3 // 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    for processors, expected in ((1, 1), (2, 2), (16, 2)):
        monkeypatch.setattr(os, "cpu_count", lambda processors=processors: processors)
        assert inference_concurrency() == expected
    pages["SC_PHYS_PAGES"] = 1000
    assert inference_concurrency() == 1
    monkeypatch.setenv("INFERENCE_CONCURRENCY", "7")
    assert inference_concurrency() == 7
