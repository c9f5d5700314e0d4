"""Measures the store's API over real HTTP, beside a bare DRF project that does the same work.

Starts both servers itself, in folders of their own that are removed at the end: the store as
`manage.py serve --no-worker`, the bare project (benchmarks/bare.py) with the same web server, number of
threads and SQLite pragmas. They take turns, so that whatever else the machine does falls on both: compare
ratios, not milliseconds, between machines and between days.

  uploads        photos of 430 KB, each sent once, from 8 clients at once; the bare project only hashes,
                 writes, syncs and inserts a row
  list of N      the newest N of 5,000 and of 1,000,000 rows: entities with their versions and the finished
                 intelligence of their images, written by SQL
  get one        entities drawn at random among as many rows
  versions       of entities with three versions, beside the bare project's get one
  memory growth  the server's peak resident memory less what it held before, while one file of 2 GB is
                 uploaded (Linux only)

Latencies are those of a single client unless the line says "8 clients". The last line of the output is one
JSON object: {"complete": bool, "figures": [{name, unit, store, bare, ratio, target, met, note}, ...], ...}.
The exit status is 0 when everything was measured, whether or not the targets are met; else it is 1.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Run as a script, Python looks for modules beside the script only.
from benchmarks.clients import Clients, UnexpectedAnswerError
from benchmarks.figures import table
from benchmarks.measurements import CLIENTS, PARTS, Plan, Run, measure
from benchmarks.servers import ServerFailedError

FULL = Plan(many_rows=1_000_000, photos=400, large_file=2 * 1000**3, gets=25)
QUICK = Plan(many_rows=20_000, photos=160, large_file=200 * 1000**2, gets=15)


class OutOfTimeError(Exception):
    """What was measured until now stands."""


def main() -> int:
    options = _options()
    plan = QUICK if options.quick else FULL
    began = time.monotonic()
    with _folder(options.folder, plan) as folder, Clients(CLIENTS) as clients:
        run = Run(plan, folder, clients)
        complete = _measure_within(run, options.only or tuple(PARTS), options.limit)
    seconds = time.monotonic() - began
    print(table(run.figures))
    summary = {
        "complete": complete,
        "quick": options.quick,
        "clients": CLIENTS,
        "cpus": os.cpu_count(),
        "seconds": round(seconds),
        "figures": [figure.as_json() for figure in run.figures],
    }
    print(json.dumps(summary))
    return 0 if complete else 1


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="20,000 rows for the million, 200 MB for the 2 GB, fewer requests",
    )
    parser.add_argument(
        "--only", action="append", choices=PARTS, help="measure this part alone; may be given several times"
    )
    parser.add_argument(
        "--limit", type=int, default=290, help="seconds after which to stop and print (default %(default)s)"
    )
    parser.add_argument(
        "--folder", type=Path, help="on whose disk to work (default: the one for temporary files)"
    )
    return parser.parse_args()


@contextmanager
def _folder(parent: Path | None, plan: Plan) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="store-benchmark-", dir=parent) as name:
        free = shutil.disk_usage(name).free
        if free < plan.disk_bytes:
            needed = f"{plan.disk_bytes / 1000**3:.1f} GB are needed in {Path(name).parent}"
            raise SystemExit(
                f"{needed}, {free / 1000**3:.1f} are free: name another disk with --folder, or use --quick."
            )
        yield Path(name)


def _measure_within(run: Run, parts: Sequence[str], seconds: int) -> bool:
    """Whether there was time for everything."""
    signal.signal(signal.SIGALRM, partial(_out_of_time, seconds))
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stops as Ctrl-C does
    signal.alarm(seconds)
    try:
        measure(run, parts)
    except (OutOfTimeError, ServerFailedError, UnexpectedAnswerError) as error:
        print(f"Stopped: {error}\nWhat follows is not everything.", file=sys.stderr)
        return False
    finally:
        signal.alarm(0)
    return True


def _out_of_time(seconds: int, _number: int, _frame: FrameType | None) -> None:
    raise OutOfTimeError(f"the {seconds} s of --limit are over.")


if __name__ == "__main__":
    sys.exit(main())
