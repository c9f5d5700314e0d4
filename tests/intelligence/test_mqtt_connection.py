"""A connection that is closed while it is being made ends, and does not come up after all."""

from __future__ import annotations

import pytest

from intelligence.mqtt import Broker, Callbacks, Connection, Message
from tests.mqtt import BROKER, BROKER_PORT, mqtt_threads
from tests.processes import wait_until


@pytest.mark.services("mosquitto")
def test_closed_before_it_reaches_the_broker() -> None:
    ups: list[None] = []

    def close_meanwhile() -> Message:
        """Asked for just before the connection is made."""
        connection.close()
        return Message("tests/will", b"gone")

    connection = Connection(
        Broker(BROKER, BROKER_PORT), Callbacks(lambda: ups.append(None), lambda: None, will=close_meanwhile)
    )
    connection.start()
    wait_until(lambda: mqtt_threads() == [], seconds=10)
    assert (ups, connection.is_up) == ([], False)
