from __future__ import annotations

import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from store_project import secret_key
from store_project.config import BASE_DIR, ConfigError

READ = """
import sys
from pathlib import Path
from store_project.secret_key import read_or_create
print("ready", flush=True)
sys.stdin.readline()
print(read_or_create(Path(sys.argv[1])))
"""


def reader(path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", READ, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=BASE_DIR,
    )


def test_it_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "secret_key"
    key = secret_key.read_or_create(path)
    assert len(key) >= 50
    assert secret_key.read_or_create(path) == key
    assert secret_key.read_or_create(tmp_path / "another") != key


def test_it_is_nobody_elses_to_read(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "secret_key"
    secret_key.read_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_processes_that_start_at_once_get_the_same(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "secret_key"
    with ExitStack() as stack:
        processes = [stack.enter_context(reader(path)) for _ in range(4)]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        keys = {process.communicate()[0].strip() for process in processes}
    assert keys == {path.read_text()}


def test_a_folder_that_cannot_be_written_to_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file where the folder should be")
    with pytest.raises(
        ConfigError, match=r"cannot be kept: .*Let CL_SERVER_DIR name a folder .* or set SECRET_KEY"
    ):
        secret_key.read_or_create(tmp_path / "keys" / "secret_key")


def test_an_empty_key_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "secret_key"
    path.write_text("\n")
    with pytest.raises(ConfigError, match=r"is empty\. Delete the file"):
        secret_key.read_or_create(path)
