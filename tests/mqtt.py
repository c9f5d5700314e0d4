"""The other side of the broker: what a client of the store hears."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from tests.processes import wait_until

BROKER = "127.0.0.1"
BROKER_PORT = 1883


@dataclass(frozen=True)
class Heard:
    topic: str
    said: Any
    """Parsed; None where a retained message is taken back."""
    retained: bool
    """It was there before the client came."""


@dataclass(frozen=True)
class Listener:
    client: Client
    heard: list[Heard] = field(default_factory=list)

    def of(self, topic: str) -> list[Any]:
        return [message.said for message in self.heard if message.topic == topic]

    def last(self, topic: str) -> Any:
        """Fails while nothing was heard."""
        return self.of(topic)[-1]


def mqtt_threads() -> list[threading.Thread]:
    """Of connections of this process."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("paho-mqtt")]


@contextmanager
def own_topic_port() -> Iterator[int]:
    """So that tests at the same broker do not hear each other. Leaves nothing with the broker."""
    port = random.SystemRandom().randrange(10_000, 65_536)
    yield port
    topics = f"mInsight/{port}/#"
    with listening(topics) as listener:
        for message in _until_answered(listener):
            listener.client.publish(message.topic, b"", 1, retain=True)
        _until_answered(listener)


@contextmanager
def listening(*topics: str) -> Iterator[Listener]:
    """Subscribed when it begins."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    listener, subscribed = Listener(client), threading.Event()

    def note(_client: Client, _data: object, message: MQTTMessage) -> None:
        said = json.loads(message.payload) if message.payload else None
        listener.heard.append(Heard(message.topic, said, message.retain))

    client.on_message = note
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(BROKER, BROKER_PORT)
    client.subscribe([(topic, 1) for topic in topics])
    client.loop_start()
    try:
        assert subscribed.wait(10)
        yield listener
    finally:
        client.disconnect()
        client.loop_stop()


def kept(topic: str) -> list[Any]:
    """What somebody hears who subscribes only now."""
    with listening(topic) as late:
        return [message.said for message in _until_answered(late)]


def _until_answered(listener: Listener) -> list[Heard]:
    """The retained messages: the broker sends them before what comes later."""
    echo = f"echo/{id(listener)}/{time.monotonic_ns()}"
    listener.client.subscribe(echo, 1)
    listener.client.publish(echo, b'"heard"', 1)
    wait_until(lambda: listener.of(echo) == ["heard"], seconds=10)
    return [message for message in listener.heard if message.retained]


class Gate:
    """A port in front of the broker that can be shut, and opened again."""

    def __init__(self) -> None:
        with socket.create_server((BROKER, 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._server: socket.socket | None = None
        self._pairs: list[socket.socket] = []
        self.is_deaf = False
        """While it is, connections are taken but nothing is passed on."""

    def open(self) -> None:
        self._server = socket.create_server((BROKER, self.port))
        threading.Thread(target=self._accept, args=[self._server], daemon=True).start()

    def shut(self) -> None:
        for open_socket in (self._server, *self._pairs):
            if open_socket is not None:
                with suppress(OSError):  # the other side may have gone first
                    open_socket.shutdown(socket.SHUT_RDWR)
                open_socket.close()
        self._pairs.clear()

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):  # until it is shut
            while True:
                near, _ = server.accept()
                far = socket.create_connection((BROKER, BROKER_PORT))
                self._pairs += [near, far]
                for source, target in ((near, far), (far, near)):
                    threading.Thread(target=self._pass_on, args=[source, target], daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not self.is_deaf:
                    target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)
