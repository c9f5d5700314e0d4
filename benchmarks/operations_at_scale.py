"""Measures what an operator sees of a store that holds much: 1,000,000 entities, all images of which wait.

Starts the store as `manage.py serve --no-worker`, over SQLite, or over PostgreSQL where TEST_DATABASE_URL
names a server: in a database of its own, which is dropped at the end. Rows are written by SQL; files are as
long as their rows say, and have no contents (sparse).

  /readyz, /metrics    over HTTP, read anew each time: answers are shared for some seconds
  audit                `manage.py audit`, all of it: its duration and the most memory that it held
  removal of 200       at once, while the request waits
  removal of 20,000    out of sight, and gone for good slice by slice, by a process beside the server
  upload               of photos of 430 KB, one after the other, before and during each removal

The last line of the output is one JSON object: {"database", "entities", "figures": [{name, unit, store,
target, met, note}, ...], ...}. The exit status is 0 when everything was measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Run as a script, Python looks for modules beside the script only.
from benchmarks import places, rows
from benchmarks.figures import Figure, table
from benchmarks.operating import Large, measure

BYTES_PER_ROW = 4_500
"""On the disk, with its versions, its file without contents, and all indexes."""


def main() -> int:
    options = _options()
    began = time.monotonic()
    needed = BYTES_PER_ROW * (options.n + options.removed)
    with places.folder_for(needed, options.folder) as folder, places.database() as variables:
        figures = list(measure(_filled(folder, variables, options), folder, variables))
    print(table(figures))
    summary = {
        "database": "postgresql" if variables else "sqlite",
        "entities": options.n,
        "cpus": os.cpu_count(),
        "seconds": round(time.monotonic() - began),
        "figures": [_as_json(figure) for figure in figures],
    }
    print(json.dumps(summary))
    return 0


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=1_000_000, help="entities (%(default)s)")
    parser.add_argument("--removed", type=int, default=20_000, help="of the large removal (%(default)s)")
    parser.add_argument(
        "--folder", type=Path, help="on whose disk to work (default: the one for temporary files)"
    )
    options = parser.parse_args()
    if options.n % rows.FAMILY or options.removed % rows.FAMILY:
        parser.error(f"both numbers have to be multiples of {rows.FAMILY}")
    return options


def _filled(folder: Path, variables: dict[str, str], options: Namespace) -> Large:
    (folder / "store").mkdir()
    large = Large(
        everybody=options.n + options.removed + Large.SMALL,
        tree=options.n + 1,
        small_tree=options.n + options.removed + 1,
    )
    print(f"... writing {large.everybody:,} rows and files", flush=True)
    large.fill(folder, variables)
    return large


def _as_json(figure: Figure) -> dict[str, object]:
    """There is nothing to compare with."""
    return {name: value for name, value in figure.as_json().items() if name not in {"bare", "ratio"}}


if __name__ == "__main__":
    sys.exit(main())
