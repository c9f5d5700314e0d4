"""A connection to an MQTT broker that is looked after in the background."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from django.conf import settings
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

logger = logging.getLogger(__name__)

KEEPALIVE_SECONDS = 15
CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = (1, 30)
"""The first wait, doubled up to the last one."""
LEAST_ONCE = 1
NOTHING = b""
"""As a retained payload it takes back the one that the broker keeps."""


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True)
class Broker:
    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def configured(cls) -> Self | None:
        """None where nobody is to be told anything."""
        if not settings.MQTT_BROKER:
            return None
        login = {"username": settings.MQTT_USERNAME, "password": settings.MQTT_PASSWORD}
        return cls(settings.MQTT_BROKER, settings.MQTT_PORT, **login)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Callbacks:
    """Called by the connection's own thread; they must not wait for anything."""

    up: Callable[[], None]
    down: Callable[[], None]
    received: Callable[[str, bytes], None] = field(default=lambda _topic, _payload: None)
    will: Callable[[], Message] | None = None
    """What the broker shall say if this connection ends without a word; asked for before each connection."""


class Connection:
    def __init__(self, broker: Broker, callbacks: Callbacks, *, listen_to: Sequence[str] = ()) -> None:
        self.is_up = False
        self._broker = broker
        self._callbacks = callbacks
        self._topics = listen_to
        self._is_closed = False
        self._was_told_down = False
        self._confirmed: set[int] = set()
        self._confirmation = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
        self._client.connect_timeout = CONNECT_SECONDS
        self._client.reconnect_delay_set(*RECONNECT_SECONDS)
        self._client.on_pre_connect = self._set_will
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        if broker.username:
            self._client.username_pw_set(broker.username, broker.password)
        self._client.connect_async(broker.host, broker.port, keepalive=KEEPALIVE_SECONDS, clean_start=True)

    def start(self) -> None:
        self._client.loop_start()

    def publish(self, messages: Sequence[Message], give_up: Callable[[], bool]) -> bool:
        """At least once, in order; waits until the broker has confirmed all of them, through any number of
        connections. False if `give_up` was asked meanwhile and said yes.
        """
        self._confirmed.clear()
        expected = {self._hand_over(message) for message in messages}
        while not expected <= self._confirmed:
            if give_up():
                return False
            self._confirmation.wait(0.1)
            self._confirmation.clear()
        return True

    def _hand_over(self, message: Message) -> int:
        return self._client.publish(message.topic, message.payload, LEAST_ONCE, message.retain).mid

    def close(self) -> None:
        """With a word of farewell, so that the broker leaves the will unsaid. One that is just being made is
        ended by its own thread: whatever it learns first would have it forget that it was told to end.
        """
        was_up = self.is_up
        self._is_closed = True
        self._client.disconnect()
        if was_up:
            self._client.loop_stop()  # its thread is not waiting for a host that does not answer

    def abandon(self) -> None:
        """In a forked process: the connection is the parent's, and must end when the parent ends."""
        inherited = self._client.socket()
        if inherited is not None:
            inherited.close()

    def _set_will(self, client: Client, _data: object) -> None:
        if self._callbacks.will is not None:
            will = self._callbacks.will()
            client.will_set(will.topic, will.payload, LEAST_ONCE, will.retain)

    def _on_connect(
        self, client: Client, _data: object, _flags: ConnectFlags, code: ReasonCode, _more: Properties | None
    ) -> None:
        if self._is_closed:
            client.disconnect()
            return
        if code.is_failure:
            self._tell_down(str(code))
            return
        for topic in self._topics:
            client.subscribe(topic, LEAST_ONCE)
        logger.info("Connected to the MQTT broker at %s.", self._broker)
        self._was_told_down = False
        self.is_up = True
        self._callbacks.up()

    def _on_connect_fail(self, client: Client, _data: object) -> None:
        if self._is_closed:
            client.disconnect()
            return
        self._tell_down("no connection")

    def _on_disconnect(
        self,
        client: Client,
        _data: object,
        _flags: DisconnectFlags,
        code: ReasonCode,
        _more: Properties | None,
    ) -> None:
        self.is_up = False
        self._callbacks.down()
        if self._is_closed:
            client.disconnect()
            return
        if code.is_failure:
            self._tell_down(str(code))

    def _tell_down(self, reason: str) -> None:
        """Once, however often it is tried again."""
        if not self._was_told_down:
            self._was_told_down = True
            logger.warning(
                "The MQTT broker at %s is away (%s); what is said meanwhile is lost.", self._broker, reason
            )

    def _on_publish(
        self, _client: Client, _data: object, mid: int, _code: ReasonCode, _more: Properties
    ) -> None:
        self._confirmed.add(mid)
        self._confirmation.set()

    def _on_message(self, _client: Client, _data: object, message: MQTTMessage) -> None:
        self._callbacks.received(message.topic, bytes(message.payload))
