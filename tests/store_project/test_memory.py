"""How many heaps glibc keeps for the threads of a process; in one of its own, as it cannot be undone."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from store_project.config import BASE_DIR
from store_project.memory import ARENAS

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")

PROGRAM = """
import ctypes, sys, tempfile, threading
from store_project import memory

if sys.argv[1] == "few":
    memory.keep_few_arenas()
all_hold = threading.Barrier(9)

def hold():
    kept = bytes(100_000)
    all_hold.wait(60)
    all_hold.wait(60)
    del kept

for _ in range(8):
    threading.Thread(target=hold).start()
all_hold.wait(60)
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(file.read().count(b"<heap nr="))
all_hold.wait(60)
"""


def arenas(how: str) -> int:
    command = [sys.executable, "-c", PROGRAM, how]
    ended = subprocess.run(command, cwd=BASE_DIR, check=True, capture_output=True, text=True, timeout=120)
    return int(ended.stdout)


def test_threads_share_few() -> None:
    assert arenas("few") == ARENAS
    assert arenas("any") > ARENAS
