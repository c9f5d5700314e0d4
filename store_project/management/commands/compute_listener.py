"""The ear at a compute service, as a process of its own."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from store_project.config import MInsightConfig, load


class Command(BaseCommand):
    help = (
        "Listens at MQTT_BROKER to what the compute service says of its jobs (topic inference/events), and "
        "asks the workers to fetch the results of ours at once. Without it they come all the same, when the "
        "schedule asks the service: a few seconds later for new jobs, up to a minute for old ones. One is "
        "enough; more do no harm. `serve` with its own workers listens itself. Reconnects for as long as it "
        "takes; stops cleanly on SIGTERM or Ctrl-C."
    )

    def handle(self, **_options: Any) -> None:
        from intelligence.listener import ComputeListener  # noqa: PLC0415  (workers' side)
        from intelligence.mqtt import Broker  # noqa: PLC0415

        _refuse_where_nobody_would_hear()
        broker = Broker.configured()
        if broker is None:
            raise CommandError("MQTT_BROKER is empty: set it to the broker of the compute service.")
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        listener = ComputeListener(broker)
        listener.start()
        self.stdout.write(f"Listening at {broker} (Ctrl-C stops it)")
        self.stdout.flush()
        stopping.wait()
        listener.stop()


def _refuse_where_nobody_would_hear() -> None:
    if not load(MInsightConfig).compute_service_url:
        raise CommandError("COMPUTE_SERVICE_URL is empty: there is no compute service to listen to.")
    if settings.EMBEDDED_BROKER:
        raise CommandError(
            "CELERY_BROKER_URL is empty: workers inside another process cannot be asked. `serve`, which has "
            "them, listens itself."
        )
