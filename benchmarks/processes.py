"""What processes cost, read from /proc (Linux only)."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_SESSION, _UTIME, _CSTIME = 3, 11, 14
"""Positions in /proc/N/stat after the name, which may hold spaces."""


def cpu_seconds(session: int) -> float:
    """Of the session's leader and of all its processes, ended ones that were waited for included."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[_SESSION]) == session:
            ticks += sum(map(int, fields[_UTIME : _CSTIME + 1]))
    return ticks / _TICKS
