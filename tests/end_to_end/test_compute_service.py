"""The whole store with a compute service, over real HTTP and a real MQTT broker."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from intelligence import listener
from tests.contracts import compute_service
from tests.contracts.compute_service import PASSWORD, USERNAME, ComputeService, Event
from tests.end_to_end.test_serve import serving
from tests.factories import jpeg
from tests.mqtt import BROKER, BROKER_PORT
from tests.processes import Manage, wait_until
from tests.store_at_rest import violations

pytestmark = [pytest.mark.services("mosquitto"), pytest.mark.timeout(180)]


@contextmanager
def at_work(service: ComputeService) -> Iterator[None]:
    """A worker of the service, which takes jobs as they come and tells of them over MQTT."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.connect(BROKER, BROKER_PORT)
    client.loop_start()
    over = threading.Event()

    def tell(event: Event) -> None:
        client.publish(listener.TOPIC, json.dumps(event), 1)

    def work() -> None:
        while not over.wait(0.05):
            service.work()

    service.on_event = tell
    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()
        client.disconnect()
        client.loop_stop()


def test_it_works(manage: Manage, server_dir: Path) -> None:
    with compute_service.serving(wants_login=True) as service, at_work(service):
        env = {
            "COMPUTE_SERVICE_URL": service.url,
            "AUTH_SERVICE_URL": service.url,
            "COMPUTE_USERNAME": USERNAME,
            "COMPUTE_PASSWORD": PASSWORD,
            "MQTT_BROKER": BROKER,
        }
        with serving(manage, **env) as server:
            photos = [server.upload(jpeg(seed))["id"] for seed in range(3)]
            wait_until(lambda: all(server.is_completed(photo) for photo in photos))
            for photo in photos:
                assert len(server.get(f"/intelligence/entities/{photo}/faces")) == service.faces
            wait_until(lambda: not service.jobs)  # deleted, once their results were stored
            output = server.stop()
        assert f"Listening to {listener.TOPIC}" in output
        assert PASSWORD not in output
        assert "Traceback" not in output
    assert violations(server_dir) == []
