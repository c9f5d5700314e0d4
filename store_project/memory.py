"""What glibc keeps of the memory that was given back."""

from __future__ import annotations

import ctypes

ARENAS = 2
_M_ARENA_MAX = -8


def keep_few_arenas() -> None:
    """For a process of many short threads, before it starts them.

    Else glibc gives threads up to eight heaps for each core, and each keeps free what its threads once had:
    for many minutes the process grows, though what it uses stays the same. Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, ARENAS)
