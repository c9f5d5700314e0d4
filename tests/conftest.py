"""Fixtures for all tests, and the walls around them.

No test sees the variables, the `.env`, the data or the services of whoever runs it: the environment is
replaced here, before the settings are loaded for the first time.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import django
import pytest
from django.conf import settings
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, connections
from django.test import override_settings

import vectors
from store_project.config import MInsightConfig, StoreConfig
from tests.mqtt import mqtt_threads
from tests.processes import Manage

LOOPBACK = "127.0.0.1"
SERVICE_PORTS = {"postgresql": 5432, "redis": 6379, "mosquitto": 1883}


def _isolate_environment() -> None:
    if settings.configured:
        raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: the tests choose their settings themselves.")
    for name in {**StoreConfig.model_fields, **MInsightConfig.model_fields}:
        os.environ.pop(name.upper(), None)
    server_dir = tempfile.mkdtemp(prefix="store-tests-")
    atexit.register(shutil.rmtree, server_dir, ignore_errors=True)
    os.environ.update(
        ANONYMOUS_READS_PER_MINUTE="0",  # of tests; those of the limit set their own
        CL_SERVER_DIR=server_dir,
        DATABASE_URL=os.environ.get("TEST_DATABASE_URL", ""),
        DJANGO_SETTINGS_MODULE="store_project.settings",
        ENV_FILE="",
    )
    # Loaded here, or pytest-django takes Django for unused.
    assert Path(server_dir) == settings.CONFIG.cl_server_dir
    if not os.environ["DATABASE_URL"]:
        _keep_database_in_a_file(Path(server_dir))
    django.setup()  # conftests further down import models
    connections.settings["default"]["CONN_MAX_AGE"] = (
        0  # threads of test servers end, and would leave theirs open
    )
    del os.environ[
        "DJANGO_SETTINGS_MODULE"
    ]  # or the workers of xdist would load the settings before they are here


def _keep_database_in_a_file(folder: Path) -> None:
    """As in production: threads would share the one connection of a database in memory. No power cut is
    tested, so nothing waits for the disk."""
    database = settings.DATABASES["default"]
    database["TEST"] = {"NAME": str(folder / "test.db")}
    options = database["OPTIONS"]
    options["init_command"] = options["init_command"].replace("synchronous=FULL", "synchronous=OFF")


_isolate_environment()


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path) -> Iterator[Path]:
    """Gives each test folders of its own for files and vectors."""
    stores = replace(settings.VECTORS, path=tmp_path / "vectors")
    with override_settings(MEDIA_ROOT=tmp_path / "media", VECTORS=stores):
        yield tmp_path
        vectors.close_stores()


@pytest.fixture(autouse=True)
def no_mqtt_thread_left() -> Iterator[None]:
    """A connection that was closed while it was being made may try for some seconds more, which no other test
    may do."""
    yield
    for thread in mqtt_threads():
        thread.join(20)
        assert not thread.is_alive(), "a connection outlives its test"


@pytest.fixture
def media_root(data_dir: Path) -> Path:
    root = data_dir / "media"
    root.mkdir()
    return root


@pytest.fixture
def one_connection() -> Iterator[None]:
    """For tests that call the WSGI application: the transaction that they run in outlives each request."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def manage(tmp_path: Path) -> Manage:
    return Manage(tmp_path / "server")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("services"):
            item.add_marker(pytest.mark.allow_hosts([LOOPBACK]))
        if item.get_closest_marker("django_db"):
            item.add_marker(pytest.mark.database)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """`services("redis")` names what a test needs, `services` alone means all three."""
    if marker := item.get_closest_marker("services"):
        missing = [name for name in marker.args or SERVICE_PORTS if not _answers(SERVICE_PORTS[name])]
        if missing:
            give_up = pytest.fail if os.environ.get("CI") else pytest.skip
            give_up(f"not running on {LOOPBACK}: {', '.join(missing)}")


@cache
def _answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((LOOPBACK, port)) == 0
