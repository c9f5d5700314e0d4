"""A store that is being used is backed up, everything is destroyed, and the backup brings all of it back."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg
import pytest

from store_project.config import BASE_DIR
from tests import own_services
from tests.deployment import free_port, own_database
from tests.pictures import jpeg
from tests.processes import Manage, wait_until

pytestmark = [pytest.mark.timeout(300), pytest.mark.allow_hosts(["127.0.0.1"])]

FAKE = {"COMPUTE_BACKEND": "fake", "AUTH_DISABLED": "true", "ENV_FILE": ""}
TABLES = (
    *("entities_entity", "entities_historicalentity", "auth_user", "intelligence_face"),
    *("intelligence_knownperson", "intelligence_historicalknownperson", "intelligence_facedecision"),
    *("intelligence_imageintelligence", "intelligence_entityjob"),
)


def content(database: Path) -> dict[str, list[Any]]:
    """By plain SQL."""
    with closing(sqlite3.connect(database)) as connection:
        return {name: sorted(map(repr, connection.execute(f"SELECT * FROM {name}"))) for name in TABLES}


def missing_files(database: Path, media: Path) -> list[str]:
    with closing(sqlite3.connect(database)) as connection:
        files = connection.execute(
            "SELECT file_path, md5 FROM entities_entity WHERE md5 IS NOT NULL"
        ).fetchall()
        crops = connection.execute("SELECT file_path FROM intelligence_face").fetchall()
    wrong = [path for path, md5 in files if _md5(media / path) != md5]
    return wrong + [path for (path,) in crops if not (media / path).is_file()]


def _md5(path: Path) -> str | None:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() if path.is_file() else None


@contextmanager
def served(manage: Manage) -> Iterator[httpx.Client]:
    port = free_port()
    with (
        manage.started("serve", "--port", str(port), **FAKE) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
    ):
        wait_until(lambda: _answers(client))
        yield client
        process.terminate()
        process.wait(60)


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/").status_code == 200
    except httpx.TransportError:
        return False


def upload(client: httpx.Client, seed: int) -> int:
    answer = client.post("/entities", data={"is_collection": "false"}, files={"media_file": jpeg(seed)})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def remove(client: httpx.Client, entity_id: int) -> None:
    assert client.patch(f"/entities/{entity_id}", data={"is_deleted": "true"}).status_code == 200
    assert client.delete(f"/entities/{entity_id}").status_code == 204


def number_of_vectors(manage: Manage) -> int:
    return sum(each["vectors"] for each in json.loads(manage("vectors", "status", "--json", **FAKE).stdout))


class Load:
    """Uploads and removes for good, until it is told to stop."""

    def __init__(self, client: httpx.Client) -> None:
        self._client, self._over = client, threading.Event()
        self.uploaded = 0
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        ids: list[int] = []
        while not self._over.is_set():
            ids.append(upload(self._client, 1000 + self.uploaded))
            self.uploaded += 1
            if len(ids) % 2 == 0:
                remove(self._client, ids.pop(0))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.parametrize("options", [[], ["--with-vectors"]], ids=["bare", "with vectors"])
def test_all_comes_back(tmp_path: Path, options: list[str]) -> None:
    manage, destination = Manage(tmp_path / "server"), tmp_path / "backup"
    database, media = manage.server_dir / "store.db", manage.server_dir / "media"
    with served(manage) as client:
        kept = [upload(client, seed) for seed in range(20)]
        client.patch(f"/entities/{kept[0]}", data={"label": "a name"})
        wait_until(lambda: _is_completed(client, kept))
        with Load(client) as load:
            wait_until(lambda: load.uploaded > 3)
            made = manage("backup", str(destination), *options, **FAKE)
            assert made.returncode == 0, made.stderr
            so_far = load.uploaded
            wait_until(lambda: load.uploaded > so_far)
    [snapshot] = (destination / "snapshots").iterdir()
    backed_up = content(snapshot / "database.sqlite3")
    assert len(backed_up["entities_entity"]) >= 20
    keys = {path.name: path.read_bytes() for path in (manage.server_dir / "keys").iterdir()}

    shutil.rmtree(manage.server_dir)
    rehearsed = manage("restore", str(destination), "--dry-run", **FAKE)
    assert (rehearsed.returncode, media.exists()) == (0, False), rehearsed.stderr
    restored = manage("restore", str(destination), **FAKE)

    assert restored.returncode == 0, restored.stderr
    assert content(database) == backed_up
    assert missing_files(database, media) == []
    assert {path.name: path.read_bytes() for path in (manage.server_dir / "keys").iterdir()} == keys
    assert (number_of_vectors(manage) >= 3 * len(kept)) is bool(options)
    with served(manage) as client:
        assert client.get(f"/entities/{kept[0]}").json()["label"] == "a name"
        assert [v["label"] for v in client.get(f"/entities/{kept[0]}/versions").json()] == [None, "a name"]
        wait_until(lambda: _has_vector(client, kept[1]))  # made anew, or put back


def _has_vector(client: httpx.Client, entity_id: int) -> bool:
    return client.get(f"/intelligence/entities/{entity_id}/clip_embedding").status_code == 200


def _is_completed(client: httpx.Client, entity_ids: list[int]) -> bool:
    return all(
        client.get(f"/entities/{pk}").json()["intelligence_status"] == "completed" for pk in entity_ids
    )


# --- What can go wrong ------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Manage:
    manage = Manage(tmp_path / "server")
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(3):
        (photos / f"{seed}.jpg").write_bytes(jpeg(seed))
    assert manage("migrate", **FAKE).returncode == 0
    assert manage("ingest", str(photos), **FAKE).returncode == 0
    assert manage("backup", str(tmp_path / "backup"), **FAKE).returncode == 0
    return manage


def test_the_next_one_copies_only_what_is_new(store: Manage, tmp_path: Path) -> None:
    (tmp_path / "photos" / "new.jpg").write_bytes(jpeg(9))
    assert store("ingest", str(tmp_path / "photos"), **FAKE).returncode == 0
    assert "4 files, of which 1 are new" in store("backup", str(tmp_path / "backup"), **FAKE).stdout
    (tmp_path / "backup" / "files.db").unlink()  # it is found out again
    assert "4 files, of which 4 are new" in store("backup", str(tmp_path / "backup"), **FAKE).stdout


def test_a_list_of_files_that_is_damaged(store: Manage, tmp_path: Path) -> None:
    index = tmp_path / "backup" / "files.db"
    index.write_bytes(b"no database" * 1000)
    refused = store("backup", str(tmp_path / "backup"), **FAKE)
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    assert "files.db cannot be used" in refused.stderr
    index.unlink()
    assert store("backup", str(tmp_path / "backup"), **FAKE).returncode == 0


def test_one_that_was_interrupted_is_none(store: Manage, tmp_path: Path) -> None:
    half = tmp_path / "backup" / "snapshots" / ".unfinished-9999"
    half.mkdir()
    assert store("restore", str(tmp_path / "backup"), "--dry-run", "--replace", **FAKE).returncode == 0
    assert store("backup", str(tmp_path / "backup"), **FAKE).returncode == 0
    assert not half.exists()
    assert len(list((tmp_path / "backup" / "snapshots").iterdir())) == 2


def test_a_store_that_is_not_empty_is_left_alone(store: Manage, tmp_path: Path) -> None:
    database = (store.server_dir / "store.db").read_bytes()
    refused = store("restore", str(tmp_path / "backup"), **FAKE)
    assert (refused.returncode, "--replace" in refused.stderr) == (1, True)
    assert (store.server_dir / "store.db").read_bytes() == database


def test_a_backup_that_is_damaged_touches_nothing(store: Manage, tmp_path: Path) -> None:
    copy = next((tmp_path / "backup" / "files").rglob("*.jpg"))
    copy.write_bytes(copy.read_bytes()[:-1])
    shutil.rmtree(store.server_dir)
    refused = store("restore", str(tmp_path / "backup"), **FAKE)
    assert (refused.returncode, copy.name in refused.stderr) == (2, True)
    assert not (store.server_dir / "media").exists()


def test_a_file_that_was_lost_before_is_told_of(store: Manage, tmp_path: Path) -> None:
    lost = next((store.server_dir / "media" / "store").rglob("*.jpg"))
    lost.unlink()
    shutil.rmtree(tmp_path / "backup")
    told = store("backup", str(tmp_path / "backup"), **FAKE)
    assert (told.returncode, lost.name in told.stderr) == (1, True)


# --- A full disk ------------------------------------------------------------------------------------------


def test_a_disk_that_is_full_at_any_moment_leaves_no_half_backup(store: Manage, tmp_path: Path) -> None:
    [before] = (tmp_path / "backup" / "snapshots").iterdir()
    for seed in range(10, 13):
        (tmp_path / "photos" / f"{seed}.jpg").write_bytes(jpeg(seed))
    assert store("ingest", str(tmp_path / "photos"), **FAKE).returncode == 0
    *failed, done = _attempts(store, tmp_path / "backup")
    assert len(failed) > 10
    for attempt in failed:
        assert (attempt["code"], attempt["newest"], attempt["wrong"]) == (2, before.name, [])
        assert attempt["told"].startswith("There is no backup: ")
    assert len({_without_names(attempt["told"]) for attempt in failed}) > 1, "at several moments"
    assert (done["code"], done["wrong"]) == (0, [])
    assert done["newest"] > before.name


def _attempts(store: Manage, destination: Path) -> list[Any]:
    """In a mount namespace of their own."""
    program = [sys.executable, "-m", "tests.end_to_end.filling_disk", str(destination)]
    env = {"CL_SERVER_DIR": str(store.server_dir), "DJANGO_SETTINGS_MODULE": "store_project.settings"}
    done = subprocess.run(
        [own_services.program("unshare"), "--map-root-user", "--mount", *program],
        cwd=BASE_DIR,
        env={**os.environ, **env, **FAKE, "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("ENDED:")]
    return [json.loads(line.removeprefix("ENDED:")) for line in lines]


def _without_names(told: str) -> str:
    return re.sub(r"'[^']*'", "", told)


# --- PostgreSQL -------------------------------------------------------------------------------------------


def dumped(url: str) -> dict[str, list[Any]]:
    with psycopg.connect(url) as connection:
        query = "SELECT t::text FROM {} t ORDER BY 1"
        return {name: connection.execute(query.format(name).encode()).fetchall() for name in TABLES}


@pytest.mark.services("postgresql")
def test_postgresql_comes_back(tmp_path: Path) -> None:
    manage, destination, photos = Manage(tmp_path / "server"), tmp_path / "backup", tmp_path / "photos"
    photos.mkdir()
    for seed in range(3):
        (photos / f"{seed}.jpg").write_bytes(jpeg(seed))
    with own_database() as first, own_database() as second:
        assert manage("migrate", DATABASE_URL=first, **FAKE).returncode == 0
        assert manage("ingest", str(photos), DATABASE_URL=first, **FAKE).returncode == 0
        made = manage("backup", str(destination), DATABASE_URL=first, **FAKE)
        assert made.returncode == 0, made.stderr
        before = dumped(first)
        assert len(before["entities_entity"]) == 3

        shutil.rmtree(manage.server_dir)
        other = manage("restore", str(destination), **FAKE)
        assert (other.returncode, "postgresql" in other.stderr) == (2, True)
        restored = manage("restore", str(destination), DATABASE_URL=second, **FAKE)

        assert restored.returncode == 0, restored.stderr
        assert dumped(second) == before
        files = [path for path in (manage.server_dir / "media" / "store").rglob("*") if path.is_file()]
        assert set(map(_md5, files)) == set(map(_md5, photos.iterdir()))
