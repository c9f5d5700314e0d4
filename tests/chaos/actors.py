"""Those who act upon the store while it works. Each has its own seed, so that a run can be repeated."""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
import uuid
from collections import Counter

import httpx
from celery.schedules import crontab

from store_project.celery import BEAT_SCHEDULE, QUEUES, app
from tests.deployment import Deployment, kill
from tests.pictures import jpeg

HURRY = 5
NIGHT_SECONDS = 60.0
"""Instead of a day."""
UPLOAD_SHARE = 0.5
"""Of all that the user does."""


class Actor(threading.Thread):
    """Acts again and again until it is told to stop; what went wrong is raised by `stop`."""

    def __init__(self, seed: str, pause_seconds: float) -> None:
        super().__init__(name=type(self).__name__, daemon=True)
        self.random = random.Random(f"{seed} {self.name}")
        self.counts: Counter[str] = Counter()
        self._pause_seconds = pause_seconds
        self._stopping = threading.Event()
        self._error: Exception | None = None

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.act()
                self._stopping.wait(self._pause_seconds * self.random.uniform(0.5, 1.5))
        except Exception as error:  # noqa: BLE001  (raised again by `stop`)
            self._error = error

    def act(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        self._stopping.set()
        self.join(60)
        assert not self.is_alive(), f"{self.name} does not stop"
        if self._error is not None:
            raise self._error


class Clock(Actor):
    """The beat schedule in a hurry."""

    def __init__(self, seed: str) -> None:
        super().__init__(seed, pause_seconds=0.2)
        self._due = dict.fromkeys(BEAT_SCHEDULE, time.monotonic())

    def act(self) -> None:
        now = time.monotonic()
        for name in [name for name, due in self._due.items() if due <= now]:
            entry = BEAT_SCHEDULE[name]
            app.send_task(entry["task"], **entry["options"])
            interval = NIGHT_SECONDS if isinstance(entry["schedule"], crontab) else entry["schedule"]
            self._due[name] = now + interval / HURRY


class User(Actor):
    """Uploads, and changes what is there. Knows what the store must hold in the end."""

    def __init__(self, seed: str, deployment: Deployment, images: int, seconds: float) -> None:
        super().__init__(seed, pause_seconds=UPLOAD_SHARE * seconds / images / 2)  # the rest is work
        self.accepted: dict[int, int] = {}
        """The seed of each entity's present content."""
        self.in_trash: set[int] = set()
        self.uploads_left = images
        self._next_photo = 0
        self._http = httpx.Client(base_url=deployment.url, timeout=30)

    def act(self) -> None:
        if self.uploads_left and self.random.random() < UPLOAD_SHARE:
            self._upload()
        elif self.accepted:
            chosen = self.random.choice(sorted(self.accepted))
            self.random.choice([self._replace, self._toggle_trash, self._toggle_trash, self._remove])(chosen)

    def _upload(self) -> None:
        photo = self._new_photo()
        answer = self._send("POST", "/entities", photo, expected=201)
        self.accepted[answer.json()["id"]] = photo
        self.uploads_left -= 1

    def _replace(self, entity_id: int) -> None:
        if entity_id not in self.in_trash:
            photo = self._new_photo()
            self._send("PUT", f"/entities/{entity_id}", photo, expected=200)
            self.accepted[entity_id] = photo

    def _toggle_trash(self, entity_id: int) -> None:
        self.in_trash ^= {entity_id}
        deleted = str(entity_id in self.in_trash).lower()
        self._check(self._http.patch(f"/entities/{entity_id}", data={"is_deleted": deleted}), 200)
        self.counts["trashed" if entity_id in self.in_trash else "restored"] += 1

    def _remove(self, entity_id: int) -> None:
        if entity_id in self.in_trash:
            self._check(self._http.delete(f"/entities/{entity_id}"), 204)
            self.in_trash.discard(entity_id)
            del self.accepted[entity_id]
            self.counts["removed"] += 1

    def _new_photo(self) -> int:
        self._next_photo += 1
        return self._next_photo

    def _send(self, method: str, path: str, photo: int, *, expected: int) -> httpx.Response:
        answer = self._http.request(
            method,
            path,
            data={"is_collection": "false", "label": f"photo {photo}"},
            files={"media_file": ("photo.jpg", jpeg(photo))},
        )
        self.counts["uploaded" if method == "POST" else "replaced"] += 1
        return self._check(answer, expected)

    @staticmethod
    def _check(answer: httpx.Response, expected: int) -> httpx.Response:
        assert answer.status_code == expected, f"{answer.request.method} {answer.url}: {answer.text}"
        return answer


class Postman(Actor):
    """Loses messages and delivers others twice."""

    def __init__(self, seed: str, deployment: Deployment) -> None:
        super().__init__(seed, pause_seconds=0.1)
        self._broker = deployment.broker()

    def act(self) -> None:
        queue = self.random.choice(QUEUES)
        message = self._broker.rpop(queue)
        if not isinstance(message, bytes):
            return
        if self.random.random() < 0.5:
            self.counts["lost"] += 1
            return
        for _ in range(2):
            self._broker.rpush(queue, _another_delivery(message))
        self.counts["doubled"] += 1


def _another_delivery(message: bytes) -> str:
    copied = json.loads(message)
    copied["properties"]["delivery_tag"] = str(uuid.uuid4())
    return json.dumps(copied)


class Killer(Actor):
    """Keeps so many workers going, and kills one after the other."""

    def __init__(self, seed: str, deployment: Deployment, workers: int) -> None:
        super().__init__(seed, pause_seconds=4.0)
        self._deployment = deployment
        self._starts = 0
        self._workers = [self._start() for _ in range(workers)]

    def act(self) -> None:
        if self._stopping.wait(self._pause_seconds / 2):
            return
        index = self.random.randrange(len(self._workers))
        kill(self._workers[index])
        self.counts["killed"] += 1
        self._workers[index] = self._start()

    def kill_all(self) -> None:
        for worker in self._workers:
            kill(worker)

    def _start(self) -> subprocess.Popen[bytes]:
        self._starts += 1
        return self._deployment.start_worker(f"worker{self._starts}")
