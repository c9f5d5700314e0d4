from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.factories import jpeg
from tests.processes import Manage, wait_until
from tests.store_at_rest import violations

PHOTOS = 40


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for number in range(PHOTOS):
        (folder / ("below" if number % 2 else "") / f"{number}.jpg").write_bytes(
            jpeg(number, size=(320, 240))
        )
    return folder


def count(server_dir: Path, query: str) -> int:
    """Nothing while the tables are not there yet."""
    try:
        with closing(
            sqlite3.connect(f"file:{server_dir / 'store.db'}?mode=ro", uri=True, timeout=10)
        ) as database:
            number: int = database.execute(f"SELECT COUNT(*) FROM {query}").fetchone()[0]
            return number
    except sqlite3.OperationalError:
        return 0


def reached(server_dir: Path, query: str, number: int) -> bool:
    return count(server_dir, query) >= number


def test_it_works(manage: Manage, photos: Path, server_dir: Path) -> None:
    (photos / "broken.jpg").write_bytes(jpeg(1)[:500])
    (photos / "notes.txt").write_text("not a photo")

    first = manage("ingest", str(photos), "--wait")

    assert first.returncode == 1, first.stderr
    assert f"{PHOTOS + 1} stored, 0 already there, 1 failed" in first.stdout
    assert "broken.jpg: " in first.stderr
    assert violations(server_dir) == []

    again = manage("ingest", str(photos / "below"))
    assert again.returncode == 0
    assert f"0 stored, {PHOTOS // 2} already there, 0 failed" in again.stdout


def test_dry_run_writes_nothing(manage: Manage, photos: Path, server_dir: Path) -> None:
    rehearsal = manage("ingest", "--dry-run", str(photos))

    assert rehearsal.returncode == 0, rehearsal.stderr
    assert f"{PHOTOS} would be stored, 0 already there" in rehearsal.stdout
    assert count(server_dir, "entities_entity") == 0


def test_bad_usage(manage: Manage, photos: Path) -> None:
    for arguments in [
        ["no/such/folder"],
        [str(photos), "--parent", "7"],
        [str(photos), "--workers", "0"],
        [],
    ]:
        assert manage("ingest", *arguments).returncode == 2


STORED = "entities_entity"
ENDED = "intelligence_imageintelligence WHERE processing_status = 'completed'"
RUNNING = "intelligence_entityjob WHERE status = 'in_progress'"


@pytest.mark.timeout(180)
def test_killed_in_the_middle(manage: Manage, photos: Path, server_dir: Path) -> None:
    """By SIGKILL: while files are stored, while jobs run, and with some ended; then carried through."""
    moments = [(STORED, 5), (STORED, PHOTOS // 2), (RUNNING, 1), (ENDED, PHOTOS // 4), (ENDED, PHOTOS // 2)]
    for query, number in moments:
        with manage.started("ingest", str(photos), "--wait") as process:
            wait_until(partial(reached, server_dir, query, number))
            process.send_signal(signal.SIGKILL)

    assert count(server_dir, ENDED) < PHOTOS, "killed too late to prove anything"
    last = manage("ingest", str(photos), "--wait")

    assert last.returncode == 0, last.stderr
    assert count(server_dir, STORED) == PHOTOS
    assert violations(server_dir) == []
