"""Statuses that the MQTT broker keeps for clients of entities that are gone."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from django.conf import settings

from entities.audit.findings import Finding, batched
from entities.models import Entity
from entities.versions import History
from intelligence.audit.kinds import Kind
from intelligence.broadcast import Topics
from intelligence.errand_notes import ErrandError
from intelligence.mqtt import NOTHING, Broker, Callbacks, Connection, Message

BROKER_SECONDS = 10.0
KEPT_SECONDS = 60.0
"""For all that the broker keeps to arrive."""


class _Ear:
    """Collects the ids for which something is kept. The broker sends that before it sends our own echo."""

    def __init__(self, topics: Topics) -> None:
        self.ids: set[int] = set()
        self.is_up, self.has_heard_all = threading.Event(), threading.Event()
        self.echo = f"store/{topics.port}/audit/{secrets.token_hex(8)}"
        self._prefix = topics.entities.removesuffix("+")

    def hear(self, topic: str, payload: bytes) -> None:
        name = topic.removeprefix(self._prefix)
        if topic == self.echo:
            self.has_heard_all.set()
        elif payload and name.isascii() and name.isdigit():
            self.ids.add(int(name))


def look(settled_before: datetime) -> Iterator[Finding]:
    """Nothing where no broker is configured. Raises ErrandError where it does not answer."""
    broker = Broker.configured()
    if broker is None:
        return
    topics = Topics(settings.MQTT_TOPIC_PORT)
    with _connected(broker, topics) as (connection, ear):
        connection.publish([Message(ear.echo, b"?")], give_up=ear.has_heard_all.is_set)
        if not ear.has_heard_all.wait(KEPT_SECONDS):
            raise ErrandError("The MQTT broker does not say what it keeps; its statuses were not looked at.")
    for batch in batched(sorted(ear.ids)):
        for entity_id in gone_among(batch, settled_before):
            topic = topics.entity(entity_id)
            yield Finding(Kind.ORPHANED_STATUS, entity_id=entity_id, topic=topic)


def gone_among(entity_ids: Sequence[int], settled_before: datetime) -> list[int]:
    """Of what was removed a moment ago it is about to be taken back."""
    there = Entity.all_rows.filter(pk__in=entity_ids).values_list("pk", flat=True)
    lately = History.objects.filter(
        id__in=entity_ids, history_type="-", history_date__gte=settled_before
    ).values_list("id", flat=True)
    return sorted(set(entity_ids).difference(there, lately))


def take_back(entity_ids: Sequence[int], settled_before: datetime) -> set[int]:
    """Nothing where no broker is configured any more."""
    broker = Broker.configured()
    if broker is None:
        return set()
    topics = Topics(settings.MQTT_TOPIC_PORT)
    gone = gone_among(entity_ids, settled_before)
    with _connected(broker, topics) as (connection, _):
        messages = [Message(topics.entity(pk), NOTHING, retain=True) for pk in gone]
        out_of_time = threading.Event()
        timer = threading.Timer(KEPT_SECONDS, out_of_time.set)
        timer.start()
        is_done = connection.publish(messages, give_up=out_of_time.is_set)
        timer.cancel()
    return set(gone) if is_done else set()


@contextmanager
def _connected(broker: Broker, topics: Topics) -> Iterator[tuple[Connection, _Ear]]:
    ear = _Ear(topics)
    callbacks = Callbacks(ear.is_up.set, lambda: None, ear.hear)
    listen_to = [topics.entities, ear.echo]
    connection = Connection(broker, callbacks, listen_to=listen_to)
    connection.start()
    try:
        if not ear.is_up.wait(BROKER_SECONDS):
            raise ErrandError("The MQTT broker does not answer; its statuses were not looked at.")
        yield connection, ear
    finally:
        connection.close()
