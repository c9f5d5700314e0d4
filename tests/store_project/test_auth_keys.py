"""The store's own pair of keys: made once, always a pair, never in the way of an outside service's key."""

from __future__ import annotations

import stat
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from store_project import keys
from store_project.config import BASE_DIR
from store_project.create_once import create_once
from store_project.keys import OutsideKeyError, UnusableKeyError
from tests.tokens import TokenService

MAKE = """
import sys
from pathlib import Path
from store_project.keys import public_pem, signing_key
print("ready", flush=True)
sys.stdin.readline()
print(public_pem(signing_key(Path(sys.argv[1])).public_key()).decode())
"""


@pytest.fixture
def public(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "public_key.pem"


def private_of(public: Path) -> Path:
    return public.with_name("private_key.pem")


def is_pair(public: Path) -> bool:
    private = load_pem_private_key(private_of(public).read_bytes(), password=None)
    return private.public_key() == keys.read_public_key(public)


def test_a_pair_is_made_once(public: Path) -> None:
    keys.ensure_key_pair(public)
    made = {path.name: path.read_bytes() for path in public.parent.iterdir()}
    assert set(made) == {"private_key.pem", "public_key.pem"}
    assert is_pair(public)
    keys.ensure_key_pair(public)
    assert keys.signing_key(public).public_key() == keys.read_public_key(public)
    assert {path.name: path.read_bytes() for path in public.parent.iterdir()} == made


def test_only_the_public_one_is_for_others_to_read(public: Path) -> None:
    keys.ensure_key_pair(public)
    assert stat.S_IMODE(private_of(public).stat().st_mode) == 0o600
    assert stat.S_IMODE(public.stat().st_mode) == 0o644


def test_a_start_that_got_no_further_is_finished(public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def until_the_power_fails(path: Path, content: bytes, *, mode: int) -> None:
        if path == public:
            raise SystemExit
        create_once(path, content, mode=mode)

    monkeypatch.setattr(keys, "create_once", until_the_power_fails)
    with pytest.raises(SystemExit):
        keys.ensure_key_pair(public)
    private = private_of(public).read_bytes()
    assert not public.exists()
    monkeypatch.undo()
    keys.ensure_key_pair(public)
    assert is_pair(public)
    assert private_of(public).read_bytes() == private


def test_processes_that_start_at_once_get_one_pair(public: Path) -> None:
    with ExitStack() as stack:
        processes = [stack.enter_context(maker(public)) for _ in range(6)]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        used = {process.communicate()[0].strip() for process in processes}
    assert used == {public.read_text().strip()}
    assert is_pair(public)
    assert len(list(public.parent.iterdir())) == 2


def maker(public: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", MAKE, public],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=BASE_DIR,
    )


def test_the_key_of_an_outside_service_stays_alone(public: Path) -> None:
    TokenService().install(public)
    installed = public.read_bytes()
    keys.ensure_key_pair(public)
    with pytest.raises(OutsideKeyError, match="another service"):
        keys.signing_key(public)
    assert public.read_bytes() == installed
    assert not private_of(public).exists()


def test_keys_that_do_not_belong_together_are_told(public: Path) -> None:
    keys.ensure_key_pair(public)
    TokenService().install(public)
    with pytest.raises(UnusableKeyError, match=r"private_key.pem does not belong to public_key.pem"):
        keys.signing_key(public)


@pytest.mark.parametrize("content", [b"", b"junk"])
def test_a_private_key_that_is_none_is_told_and_kept(public: Path, content: bytes) -> None:
    public.parent.mkdir()
    private_of(public).write_bytes(content)
    with pytest.raises(UnusableKeyError, match=r"private_key.pem is not a key for ES256"):
        keys.signing_key(public)
    assert private_of(public).read_bytes() == content
    assert not public.exists()


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file where the folder should be")
    with pytest.raises(UnusableKeyError, match="cannot be kept in"):
        keys.ensure_key_pair(tmp_path / "keys" / "public_key.pem")


def test_a_key_that_cannot_be_read_is_told(public: Path) -> None:
    private_of(public).mkdir(parents=True)
    with pytest.raises(UnusableKeyError, match=r"private_key.pem cannot be read"):
        keys.signing_key(public)


def test_a_removed_pair_is_replaced(public: Path) -> None:
    before = keys.signing_key(public).public_key()
    for path in (public, private_of(public)):
        path.unlink()
    assert keys.read_public_key(public) is None
    assert keys.signing_key(public).public_key() != before
    assert is_pair(public)
