from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from store_project.authentication import Principal
from tests.entities.api.client import Api

WRITER = Principal("writer-1", frozenset({"media_store_read", "media_store_write"}))


@pytest.fixture
def api() -> Api:
    """As a caller who may read and write."""
    client = APIClient()
    user: Any = WRITER
    client.force_authenticate(user)
    return Api(client)
