"""One process that is the whole store."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
from argparse import ArgumentParser
from typing import Any

from cheroot.wsgi import Server
from django.conf import settings
from django.core.checks import ERROR
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from entities import tallies
from store_project import accounts, memory
from store_project.web import make_server
from store_project.worker_lock import WorkerLock

logger = logging.getLogger(__name__)

OVERDUE_SECONDS = 20


class Command(BaseCommand):
    help = (
        "Runs the store in one process: web server, Celery workers and beat. Applies migrations first. "
        "Stops cleanly on SIGTERM or Ctrl-C: requests and tasks in flight are finished within --grace "
        "seconds, or handed back and taken up at the next start."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
        parser.add_argument(
            "--port", type=int, default=settings.CONFIG.server_port, help="default: SERVER_PORT (%(default)s)"
        )
        parser.add_argument("--no-worker", action="store_true", help="web only; workers run elsewhere")
        parser.add_argument(
            "--grace", type=float, default=20.0, help="seconds to finish in (default %(default)s)"
        )

    def handle(self, *, host: str, port: int, no_worker: bool, grace: float, **_options: Any) -> None:
        memory.keep_few_arenas()
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        self.check(fail_level=ERROR)
        if os.geteuid() == 0:
            logger.warning("This process runs as root; give it a user of its own.")
        runtime = None if no_worker or not settings.EMBEDDED_BROKER else self._make_runtime(grace, port)
        call_command("migrate", interactive=False, verbosity=0)
        accounts.prepare()
        if runtime is not None:
            runtime.start()
        flusher = tallies.Flusher()
        flusher.start()
        server = self._start_web(host, port, grace)
        self.stdout.write(f"Store {settings.VERSION} is at http://{host}:{port}/ (Ctrl-C stops it)")
        stopping.wait()
        self.stdout.write("Stopping ...")
        # Whatever hangs then, even one that holds the interpreter: it is named, and the process ends.
        faulthandler.dump_traceback_later(grace + OVERDUE_SECONDS, exit=True)
        server.stop()
        flusher.stop()
        if runtime is not None and not runtime.stop():
            self.stdout.flush()
            os._exit(os.EX_OK)  # an ordinary exit would wait for the threads, however long they take

    def _make_runtime(self, grace: float, port: int) -> Any:
        # Here, so that a web process without a worker never imports the compute side.
        from store_project.runtime import EmbeddedRuntime  # noqa: PLC0415

        self._lock = WorkerLock(settings.CONFIG.cl_server_dir)
        if not self._lock.acquire():
            raise CommandError(
                f"Another process works on {settings.CONFIG.cl_server_dir}; stop it, or use --no-worker."
            )
        topic_port = settings.CONFIG.mqtt_topic_port or port
        return EmbeddedRuntime(grace_seconds=grace, topic_port=topic_port)

    def _start_web(self, host: str, port: int, grace: float) -> Server:
        server = make_server(host, port, threads=settings.CONFIG.server_threads, grace=grace)
        try:
            server.prepare()
        except OSError as error:
            raise CommandError(f"Cannot listen on {host}:{port}: {error}") from error
        threading.Thread(target=server.serve, name="web", daemon=True).start()
        return server
