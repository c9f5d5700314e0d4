"""What of a connection to Redis is left when it ends with messages that nobody has acknowledged."""

from __future__ import annotations

import pytest
from kombu import Connection

from store_project.redis_transport import Transport
from tests import own_services
from tests.own_services import OwnService

pytestmark = pytest.mark.allow_hosts(["127.0.0.1"])

QUEUE = "work"


def with_a_message(broker: OwnService) -> Connection:
    connection = Connection(f"redis://127.0.0.1:{broker.port}/0", transport=Transport)
    queue = connection.SimpleQueue(QUEUE)
    queue.put("a message")
    assert queue.get(timeout=5).payload == "a message"
    return connection


def test_what_kombu_has_let_go_of_is_closed() -> None:
    with own_services.redis() as broker:
        connection = with_a_message(broker)
        connection.transport.client = None
        connection.close()


def test_what_can_be_given_back_is() -> None:
    with own_services.redis() as broker:
        with_a_message(broker).close()
        with Connection(f"redis://127.0.0.1:{broker.port}/0", transport=Transport) as connection:
            assert connection.SimpleQueue(QUEUE).get(timeout=5).payload == "a message"
