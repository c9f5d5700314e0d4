"""Measures what recurs in a large store however little there is to do: 1,000,000 entities, a tenth of whose
images still wait, with every job that ever ended.

  hand out        the next jobs, where there is room, and where there is none
  sweeps          of jobs, and of one span of images (20,000); neither finds anything
  reconcile       where nothing is new
  recognise       where no face waits
  status          what `manage.py intelligence status` reads
  explain         the story of one image

Beside each its duration in a store a hundredth as large: what does not grow has a ratio of 1. `status` counts
every row, so it grows. Compute is fake, and nothing runs beside it. SQLite; PostgreSQL where
TEST_DATABASE_URL names a server, in databases of their own that are dropped at the end.

The last line of the output is one JSON object: {"database", "entities", "figures": [{name, unit, store,
bare, ratio, target, met, note}, ...], ...}; "bare" is the small store.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Run as a script, Python looks for modules beside the script only.
from benchmarks import looked_at, places, servers
from benchmarks.figures import Figure, Target, table

BYTES_PER_ROW = 5_000
"""On the disk, with its versions, its jobs, and all indexes."""
SMALLER = 100
LEAST = 200_000
LIMITS = {
    "reconcile": Target(100, of_ratio=False),
    "recognise": Target(100, of_ratio=False),
    **dict.fromkeys(("sweep of jobs", "sweep of images"), Target(2000, of_ratio=False)),
}
"""Milliseconds: each holds one of the two threads that `serve` has for tasks."""


def main() -> int:
    options = _options()
    began = time.monotonic()
    small = _durations(options.n // SMALLER, options)
    large = _durations(options.n, options)
    figures = [
        Figure(name, "ms", milliseconds, small[name], LIMITS.get(name))
        for name, milliseconds in large.items()
    ]
    print(table(figures))
    summary = {
        "database": "postgresql" if os.environ.get("TEST_DATABASE_URL") else "sqlite",
        "entities": options.n,
        "cpus": os.cpu_count(),
        "seconds": round(time.monotonic() - began),
        "figures": [figure.as_json() for figure in figures],
    }
    print(json.dumps(summary))
    return 0


def _durations(entities: int, options: Namespace) -> dict[str, float]:
    """In milliseconds, by what was done."""
    with (
        places.folder_for(BYTES_PER_ROW * entities, options.folder) as folder,
        places.database() as variables,
    ):
        print(f"... writing {entities:,} entities and their jobs", flush=True)
        env = {**servers.environment_of(folder), "COMPUTE_BACKEND": "fake", **variables}
        (folder / "store").mkdir()
        _run(["manage.py", "migrate", "-v0"], env)
        looked_at.fill(folder / "store", variables.get("DATABASE_URL"), entities)
        print("... doing what recurs", flush=True)
        durations: dict[str, float] = json.loads(_run(["-m", "benchmarks.recurring"], env).splitlines()[-1])
        return durations


def _run(command: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *command], cwd=servers.ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000, help="entities (%(default)s)")
    parser.add_argument(
        "--folder", type=Path, help="on whose disk to work (default: the one for temporary files)"
    )
    options = parser.parse_args()
    if options.n < LEAST:
        parser.error(f"of fewer than {LEAST:,} a hundredth is too small to be compared with")
    return options


if __name__ == "__main__":
    sys.exit(main())
