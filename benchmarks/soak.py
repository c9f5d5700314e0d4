"""Minutes of everyday load on a store in one process: is its memory flat, and does nothing fail?

Clients upload photos of 430 KB, list, look at entities, previews and results, and remove their oldest photo
once they have --kept of them, so that the store stops growing while the work goes on: uploads are looked at
by the fake models, vectors come and go. Prints the resident memory of the store's processes as it goes.

Exit code 1 where a request failed, or the memory of the last third is above that of the second.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections import Counter, deque
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.photos import write_photos
from benchmarks.servers import store_alone

PHOTOS = 20
SAMPLE_SECONDS = 5.0
MOST_GROWTH = 1.03
"""Of the last third over the second: what the allocator keeps is not counted to the byte."""


class Client(threading.Thread):
    def __init__(self, number: int, port: int, photos: list[bytes], kept: int) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self._dice = random.Random(number)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120)
        self._photos, self._kept = photos, kept
        self._own: deque[int] = deque()
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self.join(180)

    def run(self) -> None:
        while not self._stopping.is_set():
            self._upload()
            for path in self._reads():
                self._ask("read", "GET", path)
            if len(self._own) > self._kept:
                self._remove(self._own.popleft())

    def _upload(self) -> None:
        # What follows a JPEG's end is not looked at, but makes it another file.
        content = self._dice.choice(self._photos) + self._dice.randbytes(16)
        form = {"is_collection": "false", "label": "soak"}
        answer = self._ask("upload", "POST", "/entities", data=form, files={"media_file": ("x", content)})
        if answer is not None:
            self._own.append(answer.json()["id"])

    def _reads(self) -> list[str]:
        if not self._own:
            return []
        one = self._dice.choice(self._own)
        paths = ["/entities?page_size=20", f"/entities/{one}", f"/entities/{one}/preview"]
        return [*paths, f"/intelligence/entities/{self._own[0]}", "/m_insight/status", "/readyz"]

    def _remove(self, entity_id: int) -> None:
        self._ask("trash", "PATCH", f"/entities/{entity_id}", data={"is_deleted": "true"})
        self._ask("remove", "DELETE", f"/entities/{entity_id}")

    def _ask(self, what: str, method: str, path: str, **body: object) -> httpx.Response | None:
        try:
            answer = self._http.request(method, path, **body)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            self.failures.append(f"{method} {path}: {error!r}")
            return None
        self.counts[what] += 1
        if answer.is_success:
            return answer
        self.failures.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        return None


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="store-soak-", dir=options.folder) as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        photos = [path.read_bytes() for path in write_photos(folder / "photos", range(PHOTOS))]
        with store_alone(folder, worker=True, COMPUTE_BACKEND="fake") as server:
            clients = [Client(number, server.port, photos, options.kept) for number in range(options.clients)]
            for client in clients:
                client.start()
            samples = _sample(server.process_id, options.minutes * 60)
            for client in clients:
                client.stop()
        log = (folder / "store.log").read_text().splitlines()
        errors = [line for line in log if "ERROR" in line or "Traceback" in line]
    return _judge(samples, clients, errors)


class Memory(NamedTuple):
    """In MiB, of all processes of the store together."""

    own: float
    """What they have allocated: this must be flat."""
    mapped: float
    """Pages of files, which the system takes back when it needs them: vectors are kept in such."""


def _sample(process_id: int, seconds: float) -> list[Memory]:
    samples: list[Memory] = []
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        time.sleep(SAMPLE_SECONDS)
        samples.append(_resident(process_id))
        if len(samples) % 6 == 0:
            own, mapped = samples[-1]
            print(f"{time.monotonic() - began:5.0f} s {own:7.1f} MiB, {mapped:6.1f} of files", flush=True)
    return samples


def _resident(process_id: int) -> Memory:
    """With its children, of which one may just end."""
    totals = Counter[str]()
    for child in [process_id, *map(int, _children(process_id))]:
        try:
            lines = Path(f"/proc/{child}/status").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(":")
            if name.startswith("Rss"):
                totals[name] += int(value.split()[0])
    return Memory(totals["RssAnon"] / 1024, totals["RssFile"] / 1024)


def _children(process_id: int) -> list[str]:
    tasks = Path(f"/proc/{process_id}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]


def _judge(samples: list[Memory], clients: list[Client], errors: list[str]) -> int:
    third = len(samples) // 3
    own = [memory.own for memory in samples]
    second, last = statistics.median(own[third : 2 * third]), statistics.median(own[2 * third :])
    counts = sum((client.counts for client in clients), Counter[str]())
    failures = [failure for client in clients for failure in client.failures] + errors
    for failure in failures[:20]:
        print(failure, file=sys.stderr)
    summary = {
        "seconds": round(len(samples) * SAMPLE_SECONDS),
        "requests": dict(counts),
        "failures": len(failures),
        "mebibytes": {"second third": round(second, 1), "last third": round(last, 1), "most": max(own)},
        "mebibytes of files": max(memory.mapped for memory in samples),
    }
    print(json.dumps(summary))
    return 1 if failures or last > second * MOST_GROWTH else 0


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default %(default)s)")
    parser.add_argument("--clients", type=int, default=4, help="at once (default %(default)s)")
    parser.add_argument("--kept", type=int, default=50, help="photos of each client (default %(default)s)")
    parser.add_argument("--folder", type=Path, help="on whose disk to work (default: for temporary files)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
