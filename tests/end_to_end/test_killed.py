"""A server that is killed while callers write: what it said is true, and what it leaves can be swept up."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.test_serve import Server, serving
from tests.factories import jpeg
from tests.invariants import Rows, entity_violations, file_violations
from tests.processes import Manage

pytestmark = [pytest.mark.allow_hosts(["127.0.0.1"]), pytest.mark.timeout(180)]

KILLS = 3
CALLERS = 4


class Caller:
    """Uploads, replaces and removes what is its own, and remembers what it was told."""

    def __init__(self, server: Server, seeds: Iterator[int], dice: random.Random) -> None:
        self._http, self._seeds, self._dice = server.http, seeds, dice
        self.kept: dict[int, str] = {}
        """By entity, the content that is to be there."""

    def run(self) -> None:
        """Until nobody answers any more. What was asked last may have happened or not."""
        with suppress(httpx.TransportError):
            while True:
                actions: list[Callable[[], None]] = [self._upload, self._upload, self._replace, self._remove]
                self._dice.choice(actions if self.kept else actions[:1])()

    def _upload(self) -> None:
        content = jpeg(next(self._seeds))
        form: dict[str, Any] = {"data": {"is_collection": "false"}, "files": {"media_file": content}}
        self.kept[self._ask("POST", "/entities", 201, **form)["id"]] = md5_of(content)

    def _replace(self) -> None:
        pk, _ = self.kept.popitem()
        content = jpeg(next(self._seeds))
        form = {"is_collection": "false", "label": "new"}
        self._ask("PUT", f"/entities/{pk}", 200, data=form, files={"media_file": content})
        self.kept[pk] = md5_of(content)

    def _remove(self) -> None:
        pk, _ = self.kept.popitem()
        self._ask("PATCH", f"/entities/{pk}", 200, data={"is_deleted": "true"})
        self._ask("DELETE", f"/entities/{pk}", 204)

    def _ask(self, method: str, path: str, status: int, **body: Any) -> Any:
        answer = self._http.request(method, path, **body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None


def md5_of(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def test_it_is_killed_again_and_again(manage: Manage, server_dir: Path) -> None:
    dice, seeds = random.Random(1), itertools.count()
    media = server_dir / "media"
    kept: dict[int, str] = {}
    for _ in range(KILLS):
        with serving(manage, "--no-worker") as server, ThreadPoolExecutor(CALLERS) as pool:
            callers = [Caller(server, seeds, random.Random(dice.random())) for _ in range(CALLERS)]
            ended = [pool.submit(caller.run) for caller in callers]
            time.sleep(dice.uniform(0.5, 1.5))
            server.process.kill()
            for future in ended:
                future.result()
        for caller in callers:
            kept |= caller.kept
        with rows_of(server_dir) as rows:
            assert file_violations(media, rows) == []
            assert kept.items() <= dict(rows("SELECT id, md5 FROM entities_entity")).items()
    assert len(kept) > KILLS * CALLERS

    for path in (media / "incoming").iterdir():
        os.utime(path, (0, 0))
    swept = manage("shell", "-c", "from entities.tasks import sweep_files; sweep_files()")
    assert swept.returncode == 0, swept.stderr
    with rows_of(server_dir) as rows:
        assert entity_violations(media, rows) == []


@contextmanager
def rows_of(server_dir: Path) -> Iterator[Rows]:
    with closing(sqlite3.connect(server_dir / "store.db")) as database:
        yield database.execute
