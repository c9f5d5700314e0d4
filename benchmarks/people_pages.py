"""Measures the pages where people are looked at and decided about: 5,000 of them with 100,000 faces.

Each page is asked for within one process, as somebody who may do everything, over SQLite. Of the people the
first has a tenth of all faces, the last few have one (Zipf); one face in twenty waits; each face has five
matches, one in fifty of which speaks for somebody else.

bare: the same pages over 100 people with 2,000 faces: what they cost without what the size adds. The number
of queries must be the same. The last line of the output is one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

# Run as a script, Python looks for modules beside the script only.
from benchmarks.figures import Figure, Target, table

ROOT = Path(__file__).resolve().parent.parent
BARE_PEOPLE, BARE_FACES = 100, 2_000
TARGET = Target(250, of_ratio=False)

Measured = dict[str, dict[str, float]]


def main() -> int:
    options = _options()
    bare, store = _of(BARE_PEOPLE, BARE_FACES), _of(options.people, options.faces)
    figures = list(_figures(store, bare))
    print(table(figures))
    summary = {"people": options.people, "faces": options.faces, "cpus": os.cpu_count()}
    print(json.dumps({**summary, "figures": [figure.as_json() for figure in figures]}))
    return 0


def _options() -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=5_000, help="%(default)s")
    parser.add_argument("--faces", type=int, default=100_000, help="of all of them (%(default)s)")
    return parser.parse_args()


def _of(people: int, faces: int) -> Measured:
    """In a process and a folder of its own."""
    print(f"... {people:,} people with {faces:,} faces", flush=True)
    with tempfile.TemporaryDirectory(prefix="store-benchmark-") as folder:
        env = {
            **os.environ,
            "AUTH_DISABLED": "false",
            "CL_SERVER_DIR": folder,
            "DATABASE_URL": "",
            "ENV_FILE": "",
        }
        command = [sys.executable, "-m", "benchmarks.asking_for_people", str(people), str(faces)]
        told = subprocess.run(
            command, check=True, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
        ).stdout
    read: Measured = json.loads(told.splitlines()[-1])
    return read


def _figures(store: Measured, bare: Measured) -> Iterator[Figure]:
    for page, large in store.items():
        small = bare[page]
        yield Figure(f"{page}, p50", "ms", large["p50"], small["p50"], TARGET)
        yield Figure(f"{page}, p95", "ms", large["p95"], small["p95"])
        yield Figure(f"{page}, queries", "", large["queries"], small["queries"], Target(1))


if __name__ == "__main__":
    sys.exit(main())
