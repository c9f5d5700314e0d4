"""Tells the MQTT broker what has changed, off the path of requests and jobs.

Changes are only noted, up to a limit; one thread reads what is true of them by then and publishes it. Several
processes do so at once, and a slow one may publish what has changed meanwhile. So each, after the broker has
confirmed, reads again and corrects itself: whoever published last has read after that, and nothing differed.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from django.db import DatabaseError, connections
from django.utils import timezone

from entities import tallies
from entities.api.serializers import milliseconds
from intelligence import statuses
from intelligence.mqtt import NOTHING, Broker, Callbacks, Connection, Message
from intelligence.statuses import WORKER, Clearing, State
from intelligence.worker_status import Word

logger = logging.getLogger(__name__)

MOST_NOTES = 10_000
"""Changes that wait for a broker that is away or slow; more are dropped."""
BATCH_SIZE = 200
MOST_RETOLD = 1000
MOST_CLEARED_AT_ONCE = 20
"""Batches of one round of clearing; the next round goes on."""
LINGER_SECONDS = 0.02
"""What one transaction changes arrives together."""
IDLE_SECONDS = 5.0
"""After so long without work the database connection is given back."""

Read = Callable[[Collection[int]], Mapping[int, State]]


@dataclass(frozen=True)
class Topics:
    port: int
    """The public port of the store, by which its clients name it."""

    @property
    def items(self) -> str:
        return f"store/{self.port}/items"

    @property
    def worker(self) -> str:
        return f"mInsight/{self.port}/status"

    @property
    def entities(self) -> str:
        """Of all of them, for who listens."""
        return f"mInsight/{self.port}/entity_item_status/+"

    def entity(self, entity_id: int) -> str:
        return f"mInsight/{self.port}/entity_item_status/{entity_id}"

    def message(self, subject: int, state: State) -> Message:
        topic = self.worker if subject == WORKER else self.entity(subject)
        payload = NOTHING if state is None else _json({**state, "timestamp": _now()})
        return Message(topic, payload, retain=True)

    def farewell(self) -> Message:
        offline = {
            "status": Word.OFFLINE,
            "version_start": None,
            "version_end": None,
            "processed_count": None,
        }
        return self.message(WORKER, offline)


class Broadcaster:
    """An Announcer. Start it once; stop it once."""

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        *,
        speaks_for_worker: bool,
        heard_offline: Callable[[], None] = lambda: None,
        read: Read = statuses.read,
        clearing: Clearing | None = None,
    ) -> None:
        """One process of a worker speaks for it: it says that it lives and, when it ends, that it does not.
        `heard_offline` is called when another worker has said so.
        """
        self._topics = topics
        self._speaks_for_worker = speaks_for_worker
        self._heard_offline = heard_offline
        self._read = read
        self._clearing = clearing or Clearing()
        self._items: deque[Message] = deque()
        self._subjects: dict[int, None] = {}
        self._unverified: Mapping[int, State] = {}
        self._is_clearing_due = False
        self._is_retelling_due = False
        self._is_prepared = False
        self._is_dropping = False
        self._is_busy = False
        self._is_stopping = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="broadcast", daemon=True)
        callbacks = Callbacks(
            self._on_up, self._notify, self._on_message, topics.farewell if speaks_for_worker else None
        )
        listen_to = [topics.worker] if speaks_for_worker else []
        self._connection = Connection(broker, callbacks, listen_to=listen_to)

    # --- Taking notes: never waits for more than another note ---

    def item(self, entity_id: int, md5: str, timestamp: int) -> None:
        payload = _json({"id": entity_id, "md5": md5, "timestamp": timestamp})
        with self._news:
            if self._has_room():
                self._items.append(Message(self._topics.items, payload))
            self._news.notify_all()

    def entities(self, entity_ids: Iterable[int]) -> None:
        with self._news:
            for pk in entity_ids:
                if pk in self._subjects or self._has_room():
                    self._subjects[pk] = None
            self._news.notify_all()

    def worker(self) -> None:
        self.entities([WORKER])

    def clear_ended(self) -> None:
        with self._news:
            self._is_clearing_due = True
            self._news.notify_all()

    def _has_room(self) -> bool:
        if len(self._items) + len(self._subjects) < MOST_NOTES:
            return True
        tallies.add("broadcast", "dropped")
        if not self._is_dropping:
            self._is_dropping = True
            logger.warning("The MQTT broker is away or slow: what changes from now on is not told to it.")
        return False

    # --- Starting and stopping ---

    @property
    def is_up(self) -> bool:
        """Whether the broker listens."""
        return self._connection.is_up

    def start(self) -> None:
        self._thread.start()
        self._connection.start()

    def stop(self, *, grace_seconds: float = 2.0) -> None:
        """Tells what is noted within the grace time, says goodbye, and leaves. At once if nobody listens."""
        with self._news:
            self._news.wait_for(lambda: not self._connection.is_up or self._is_done(), grace_seconds)
            self._is_stopping = True
            self._news.notify_all()
        self._thread.join(grace_seconds)
        if self._speaks_for_worker and self._connection.is_up and not self._thread.is_alive():
            over = threading.Event()
            timer = threading.Timer(grace_seconds, over.set)
            timer.start()
            self._connection.publish([self._topics.farewell()], give_up=over.is_set)
            timer.cancel()
        self._connection.close()

    def abandon(self) -> None:
        """In a forked process, where none of the threads lives on."""
        self._connection.abandon()

    # --- The connection's thread ---

    def _on_up(self) -> None:
        with self._news:
            self._is_retelling_due = self._is_dropping = False
            if self._speaks_for_worker:
                self._is_retelling_due = True
                self._subjects[WORKER] = None
            self._news.notify_all()

    def _notify(self) -> None:
        with self._news:
            self._news.notify_all()

    def _on_message(self, topic: str, payload: bytes) -> None:
        if not self._is_stopping and _says_offline(payload):
            self._heard_offline()

    # --- The thread that publishes ---

    def _run(self) -> None:
        while self._await_work():
            try:
                self._work()
            except DatabaseError as error:
                logger.warning("Nothing is told over MQTT until the database answers: %s", error)
                self._close_database()
                self._pause(IDLE_SECONDS)
        self._close_database()

    def _await_work(self) -> bool:
        """False when it is time to end."""
        with self._news:
            self._is_busy = False
            self._news.notify_all()
            while not self._news.wait_for(self._may_go_on, IDLE_SECONDS):
                self._close_database()
            self._is_busy = True
            return not self._is_stopping

    def _may_go_on(self) -> bool:
        return self._is_stopping or (self._connection.is_up and self._has_work())

    def _has_work(self) -> bool:
        due = self._is_clearing_due or self._is_retelling_due
        return bool(due or self._items or self._subjects or self._unverified)

    def _is_done(self) -> bool:
        return not self._is_busy and not self._has_work()

    def _work(self) -> None:
        if not self._unverified:
            self._pause(LINGER_SECONDS)
        if not self._is_prepared:
            self._clearing.prepare()
            self._is_prepared = True
        if self._is_retelling_due:
            self._is_retelling_due = False
            self.entities(statuses.changed_lately(MOST_RETOLD))
        self._tell_noted()
        if self._is_clearing_due:
            self._is_clearing_due = False
            self._clear()

    def _tell_noted(self) -> None:
        items, subjects = self._take()
        try:
            self._tell(subjects, items)
        except DatabaseError:
            self.entities(subjects)
            with self._news:
                self._items.extendleft(reversed(items))
            raise

    def _take(self) -> tuple[list[Message], list[int]]:
        with self._news:
            items = [self._items.popleft() for _ in range(min(BATCH_SIZE, len(self._items)))]
            subjects = list(islice(self._subjects, BATCH_SIZE))
            for subject in subjects:
                del self._subjects[subject]
            return items, subjects

    def _tell(self, subjects: Collection[int], items: Iterable[Message] = ()) -> bool:
        """What is true of these now, and of those told before where it has changed since."""
        told_before = self._unverified
        states = self._read(list(dict.fromkeys([*subjects, *told_before])))
        told = {
            subject: state
            for subject, state in states.items()
            if subject in subjects or state != told_before[subject]
        }
        messages = [self._topics.message(subject, state) for subject, state in told.items()]
        messages = [*items, *messages]
        confirmed = self._connection.publish(messages, give_up=self._has_to_give_up)
        tallies.add("broadcast", "confirmed" if confirmed else "given up", number=len(messages))
        self._unverified = told
        return confirmed

    def _has_to_give_up(self) -> bool:
        return self._is_stopping

    def _clear(self) -> None:
        for _ in range(MOST_CLEARED_AT_ONCE):
            batch = self._clearing.next_batch()
            if batch.entity_ids and not self._tell(batch.entity_ids):
                return
            self._clearing.keep(batch.marks)
            if batch.is_last:
                return
        self.clear_ended()

    def _pause(self, seconds: float) -> None:
        with self._news:
            self._news.wait_for(lambda: self._is_stopping, seconds)

    @staticmethod
    def _close_database() -> None:
        connections.close_all()


def _says_offline(payload: bytes) -> bool:
    """Anybody may have written there."""
    try:
        said = json.loads(payload)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("status") == Word.OFFLINE


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value).encode()


def _now() -> int:
    return milliseconds(timezone.now())
