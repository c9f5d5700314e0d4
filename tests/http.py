"""The store's own web server in this process, and clients that call it at once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from store_project.web import make_server

JITTER_SECONDS = 0.004

Call = Callable[[], httpx.Response]


@dataclass(frozen=True)
class Callers:
    """As many as there are calls at once, each in a thread of its own."""

    http: httpx.Client

    def upload(self, content: bytes, **fields: Any) -> httpx.Response:
        form = {"is_collection": "false", **fields}
        return self.http.post("/entities", data=form, files={"media_file": ("any.name", content)})

    def put(self, pk: int, content: bytes | None = None, **fields: Any) -> httpx.Response:
        files = None if content is None else {"media_file": ("any.name", content)}
        form = {"is_collection": "false", "label": "replaced", **fields}
        return self.http.put(f"/entities/{pk}", data=form, files=files)

    def patch(self, pk: int, **fields: Any) -> httpx.Response:
        return self.http.patch(f"/entities/{pk}", data=fields)

    def delete(self, pk: int) -> httpx.Response:
        return self.http.delete(f"/entities/{pk}")

    @staticmethod
    def at_once(calls: Sequence[Call], dice: random.Random | None = None) -> list[httpx.Response]:
        """The answers, in the order of `calls`. With `dice`, each starts a few milliseconds off, so that a
        race that is run again and again is run in many ways."""
        barrier = threading.Barrier(len(calls))
        delays = [dice.uniform(0, JITTER_SECONDS) if dice else 0.0 for _ in calls]

        def run(call: Call, delay: float) -> httpx.Response:
            barrier.wait()
            time.sleep(delay)
            return call()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(run, calls, delays))


@contextmanager
def serving_here(threads: int) -> Iterator[Callers]:
    server = make_server("127.0.0.1", 0, threads=threads, grace=10)
    server.prepare()
    thread = threading.Thread(target=server.serve, name="web")
    thread.start()
    limits = httpx.Limits(max_connections=threads, max_keepalive_connections=threads)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{server.bind_addr[1]}", limits=limits, timeout=60
        ) as http:
            yield Callers(http)
    finally:
        server.stop()
        thread.join()
