from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from vectors import lock_file


def test_one_has_it_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lock_file.holder(path) is None
    first = lock_file.take(path)
    assert first is not None
    assert lock_file.take(path) is None
    assert lock_file.holder(path) == str(os.getpid())
    first.close()
    assert lock_file.holder(path) is None
    second = lock_file.take(path)
    assert second is not None
    second.close()


def test_who_only_looks_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_file, "PATIENCE_SECONDS", 1.0)
    path = tmp_path / "lock"
    path.touch()
    with path.open() as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        look_away = threading.Timer(0.2, lambda: fcntl.flock(looked_at, fcntl.LOCK_UN))
        look_away.start()
        taken = lock_file.take(path)
        look_away.join()
    assert taken is not None
    taken.close()
