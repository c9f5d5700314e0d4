"""Kombu's transport for Redis, whose workers take work again after a Redis that hung, or was away.

A worker takes as many messages as it may hold unacknowledged. Where an acknowledgement fails without the
connection being lost (a time-out), Kombu 5.7 keeps the message counted for ever, and likewise one that could
not be given back: a worker with one process has then taken its last, and says nothing. Here it does not
count. Redis hands it out once more after the visibility timeout; each task asks whether its work is wanted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport import redis, virtual


class QoS(redis.QoS):
    def ack(self, delivery_tag: Any) -> None:
        with self._no_longer_counted(delivery_tag):
            super().ack(delivery_tag)

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:  # noqa: FBT001, FBT002  (Kombu's)
        with self._no_longer_counted(delivery_tag):
            super().reject(delivery_tag, requeue=requeue)

    def restore_unacked(self, client: Any = None) -> None:
        """At the end of a connection. Of one that Kombu has let go of already it would ask for the host, and
        the worker would end of that; Redis hands out again what was not given back.
        """
        if self.channel.connection.client is None:
            self._delivered = OrderedDict()
        else:
            super().restore_unacked(client)

    @contextmanager
    def _no_longer_counted(self, delivery_tag: Any) -> Iterator[None]:
        """Celery logs what failed, so it goes on from here."""
        try:
            yield
        except BaseException:
            virtual.QoS.ack(self, delivery_tag)
            raise


class Channel(redis.Channel):
    QoS = QoS


class Transport(redis.Transport):
    Channel = Channel
