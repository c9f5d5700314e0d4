"""Measures the pages where people are looked at and decided about: 5,000 of them with 100,000 faces.

Each page is asked for in this process, as somebody who may do everything, over SQLite. Of the people the
first has a tenth of all faces, the last few have one (Zipf); one face in twenty waits; each face has five
matches, one in fifty of which speaks for somebody else.

bare: the same pages over 100 people with 2,000 faces: what they cost without what the size adds. The number
of queries must be the same. The last line of the output is one JSON object.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks.figures import Figure, Target, table

BARE_PEOPLE, BARE_FACES = 100, 2_000
TARGET = Target(250, of_ratio=False)
ROUNDS = 15
BATCH = 5_000
WAITING_ONE_IN = 20
MATCHES = 5
ANOTHER_ONE_IN = 50

Measured = dict[str, dict[str, float]]


def main() -> int:
    options = _options()
    if options.measure:
        print(json.dumps(measure(options.people, options.faces)))
        return 0
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
    parser.add_argument("--measure", action="store_true", help="as JSON (for the benchmark itself)")
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
            "DJANGO_SETTINGS_MODULE": "store_project.settings",
            "ENV_FILE": "",
        }
        command = [sys.executable, __file__, "--measure", f"--people={people}", f"--faces={faces}"]
        told = subprocess.run(command, check=True, env=env, stdout=subprocess.PIPE, text=True).stdout
    read: Measured = json.loads(told.splitlines()[-1])
    return read


def _figures(store: Measured, bare: Measured) -> Iterator[Figure]:
    for page, large in store.items():
        small = bare[page]
        yield Figure(f"{page}, p50", "ms", large["p50"], small["p50"], TARGET)
        yield Figure(f"{page}, p95", "ms", large["p95"], small["p95"])
        yield Figure(f"{page}, queries", "", large["queries"], small["queries"], Target(1))


# --- In the process that measures ---


def measure(people: int, faces: int) -> Measured:
    import django  # noqa: PLC0415  (the environment says which settings)

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    _fill(people, faces)
    return dict(_pages())


def _pages() -> Iterator[tuple[str, dict[str, float]]]:
    from django.contrib.auth import get_user_model  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(get_user_model().objects.create_superuser("admin", password=None))
    for name, path in {
        "admin: the wall": "/admin/intelligence/knownperson/",
        "admin: the wall, last page": "/admin/intelligence/knownperson/?page=9999",
        "admin: by name": "/admin/intelligence/knownperson/?q=7",
        "admin: a person with very many faces": "/admin/intelligence/knownperson/1/change/",
        "admin: suggested merges": "/admin/intelligence/knownperson/suggestions/",
        "admin: faces that wait": "/admin/intelligence/knownperson/waiting/",
        "api: people": "/intelligence/known-persons",
        "api: people by name": "/intelligence/known-persons?search=7",
        "api: faces of a person": "/intelligence/known-persons/1/faces",
        "api: faces that wait": "/intelligence/faces/waiting",
        "api: suggested merges": "/intelligence/known-persons/suggested-merges",
    }.items():
        answer = client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        with CaptureQueriesContext(connection) as queries:
            client.get(path)
        number = len(queries)  # the next request forgets them
        seconds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            client.get(path)
            seconds.append(1000 * (time.perf_counter() - began))
        twentieths = statistics.quantiles(seconds, n=20, method="inclusive")
        yield name, {"p50": twentieths[9], "p95": twentieths[18], "queries": number}


def _batches(faces: int) -> Iterator[range]:
    for start in range(1, faces + 1, BATCH):
        yield range(start, min(start + BATCH, faces + 1))


def _fill(people: int, faces: int) -> None:
    from django.utils import timezone  # noqa: PLC0415

    from entities.models import Entity  # noqa: PLC0415
    from intelligence.models import Face  # noqa: PLC0415
    from intelligence.people_models import FaceMatch, KnownPerson  # noqa: PLC0415

    dice = np.random.default_rng(3)
    share = 1.0 / np.arange(1, people + 1)
    who = np.concatenate([np.arange(people), dice.choice(people, faces - people, p=share / share.sum())]) + 1
    KnownPerson.objects.bulk_create(
        KnownPerson(pk=pk, name=f"Person {pk}" if pk % 3 == 0 else None) for pk in range(1, people + 1)
    )
    now = timezone.now()
    photo = {
        "is_collection": False,
        "type": "image",
        "mime_type": "image/jpeg",
        "added_date": now,
        "updated_date": now,
    }
    face = {
        "bbox": {"x1": 0.1, "y1": 0.1, "x2": 0.3, "y2": 0.3},
        "landmarks": {},
        "confidence": 0.9,
        "model": "faces",
        "recognised_with": "embeddings",
        "recognised_at": now,
    }
    quality = dice.uniform(0.1, 0.95, faces)
    others = dice.integers(1, faces + 1, (faces, MATCHES))
    numbers = count(1)
    for pks in _batches(faces):
        Entity.objects.bulk_create(
            Entity(pk=pk, md5=f"{pk:032x}", file_path=f"{pk}.jpg", **photo) for pk in pks
        )
        Face.objects.bulk_create(
            Face(
                pk=pk,
                entity_id=pk,
                quality=float(quality[pk - 1]),
                file_path=f"faces/{pk}.jpg",
                known_person_id=None if pk % WAITING_ONE_IN == 0 else int(who[pk - 1]),
                assigned_by=None if pk % WAITING_ONE_IN == 0 else "auto",
                standing="waiting" if pk % WAITING_ONE_IN == 0 else "core",
                **face,
            )
            for pk in pks
        )
    for pks in _batches(faces):
        FaceMatch.objects.bulk_create(
            FaceMatch(
                face_id=pk,
                matched_face_id=int(other),
                similarity=0.6,
                threshold=0.5,
                model="embeddings",
                rule="another" if next(numbers) % ANOTHER_ONE_IN == 0 else "core",
            )
            for pk in pks
            for other in set(others[pk - 1].tolist()) - {pk}
        )


if __name__ == "__main__":
    sys.exit(main())
