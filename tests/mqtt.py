"""The other side of the broker: what a client of the store hears."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

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


def own_topic_port() -> int:
    """So that tests at the same broker do not hear each other."""
    return random.SystemRandom().randrange(10_000, 65_536)


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
    with listening(topic, f"probe/{id(topic)}") as late:
        late.client.publish(f"probe/{id(topic)}", b'"end"', 1)
        end = threading.Event()
        while not late.of(f"probe/{id(topic)}"):  # the broker answers in order
            end.wait(0.01)
        return [message.said for message in late.heard if message.retained]
