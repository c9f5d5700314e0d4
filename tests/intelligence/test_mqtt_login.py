"""A broker that lets nobody in without a name and a password: a real one, of the test's own."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from intelligence.listener import ComputeListener
from intelligence.mqtt import Broker, Callbacks, Connection, Message
from tests.deployment import LOOPBACK, free_port
from tests.own_services import program
from tests.processes import wait_until

pytestmark = pytest.mark.allow_hosts([LOOPBACK])

NAME, PASSWORD = "store", "open sesame"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder, port = tmp_path_factory.mktemp("mosquitto"), free_port()
    passwords = folder / "passwords"
    subprocess.run([program("mosquitto_passwd"), "-b", "-c", str(passwords), NAME, PASSWORD], check=True)
    folder.chmod(0o755)
    passwords.chmod(0o644)
    config = folder / "mosquitto.conf"
    config.write_text(
        f"listener {port} {LOOPBACK}\nallow_anonymous false\npassword_file {passwords}\nuser root\n"
    )
    process = subprocess.Popen([program("mosquitto"), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(port))
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


@pytest.fixture
def broker(port: int) -> Broker:
    return Broker(LOOPBACK, port, NAME, PASSWORD)


def test_what_is_told_with_a_login_is_heard_with_one(broker: Broker) -> None:
    heard: list[tuple[str, bytes]] = []
    ups: list[None] = []
    callbacks = Callbacks(lambda: ups.append(None), lambda: None, lambda *message: heard.append(message))
    ear = Connection(broker, callbacks, listen_to=["store/9/items"])
    mouth = Connection(broker, Callbacks(lambda: None, lambda: None))
    ear.start()
    wait_until(lambda: bool(ups))
    mouth.start()
    try:
        assert mouth.publish([Message("store/9/items", b"7")], give_up=lambda: False)
        wait_until(lambda: heard == [("store/9/items", b"7")])
    finally:
        mouth.close()
        ear.close()


def test_the_listener_is_let_in(broker: Broker) -> None:
    listener = ComputeListener(broker)
    listener.start()
    try:
        wait_until(lambda: listener._connection.is_up)
    finally:
        listener.stop()


@pytest.mark.parametrize(("name", "password"), [("", ""), (NAME, "wrong secret"), ("nobody", PASSWORD)])
def test_who_is_not_let_in_says_why_and_not_with_what(
    port: int, caplog: pytest.LogCaptureFixture, name: str, password: str
) -> None:
    connection = Connection(Broker(LOOPBACK, port, name, password), Callbacks(lambda: None, lambda: None))
    connection.start()
    try:
        wait_until(lambda: "is away (Not authorized)" in caplog.text)
        assert not connection.is_up
        assert password == "" or password not in caplog.text
    finally:
        connection.close()


def test_the_settings_name_broker_and_login(settings: Settings) -> None:
    settings.MQTT_BROKER, settings.MQTT_PORT = "broker", 1884
    settings.MQTT_USERNAME, settings.MQTT_PASSWORD = NAME, PASSWORD
    broker = Broker.configured()
    assert broker == Broker("broker", 1884, NAME, PASSWORD)
    assert PASSWORD not in f"{broker} {broker!r}"
    settings.MQTT_BROKER = ""
    assert Broker.configured() is None
