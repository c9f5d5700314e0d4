from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from store_project.authentication import READ, WRITE, Principal


@pytest.fixture
def guest() -> APIClient:
    """Nobody, who may read in guest mode."""
    return APIClient()


@pytest.fixture
def reader() -> APIClient:
    return _client_of(Principal("reader-1", frozenset({READ})))


@pytest.fixture
def writer() -> APIClient:
    return _client_of(Principal("writer-1", frozenset({READ, WRITE})))


def _client_of(principal: Principal) -> APIClient:
    client = APIClient()
    client.force_authenticate(principal)  # type: ignore[arg-type]  # whatever a view takes for a user
    return client
