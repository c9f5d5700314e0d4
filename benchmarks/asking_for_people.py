"""A part of benchmarks/people_pages.py in a process of its own: makes people with faces, asks for pages.

Its arguments are how many people, and how many faces. The environment says in which folder.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import count

import django
import numpy as np

os.environ["DJANGO_SETTINGS_MODULE"] = "store_project.settings"
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402  (after the setup)
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from django.utils import timezone  # noqa: E402

from entities.models import Entity  # noqa: E402
from intelligence.models import (  # noqa: E402
    Face,
    FaceMatch,
    KnownPerson,
)

ROUNDS = 15
BATCH = 5_000
WAITING_ONE_IN = 20
MATCHES = 5
ANOTHER_ONE_IN = 50


def main(people: int, faces: int) -> None:
    call_command("migrate", verbosity=0)
    _fill(people, faces)
    print(json.dumps(dict(_pages())))


def _pages() -> Iterator[tuple[str, dict[str, float]]]:
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
    dice = np.random.default_rng(3)
    share = 1.0 / np.arange(1, people + 1)
    who = np.concatenate([np.arange(people), dice.choice(people, faces - people, p=share / share.sum())]) + 1
    KnownPerson.objects.bulk_create(
        KnownPerson(pk=pk, name=f"Person {pk}" if pk % 3 == 0 else None) for pk in range(1, people + 1)
    )
    others = dice.integers(1, faces + 1, (faces, MATCHES))
    _fill_faces(who.tolist(), dice.uniform(0.1, 0.95, faces).tolist())
    _fill_matches(others.tolist())


def _fill_faces(who: Sequence[int], quality: Sequence[float]) -> None:
    """Each on a photo of its own."""
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
    for pks in _batches(len(who)):
        Entity.objects.bulk_create(
            Entity(pk=pk, md5=f"{pk:032x}", file_path=f"{pk}.jpg", **photo) for pk in pks
        )
        Face.objects.bulk_create(
            Face(
                pk=pk,
                entity_id=pk,
                quality=quality[pk - 1],
                file_path=f"faces/{pk}.jpg",
                known_person_id=None if pk % WAITING_ONE_IN == 0 else who[pk - 1],
                assigned_by=None if pk % WAITING_ONE_IN == 0 else "auto",
                standing="waiting" if pk % WAITING_ONE_IN == 0 else "core",
                **face,
            )
            for pk in pks
        )


def _fill_matches(others: Sequence[Sequence[int]]) -> None:
    numbers = count(1)
    for pks in _batches(len(others)):
        FaceMatch.objects.bulk_create(
            FaceMatch(
                face_id=pk,
                matched_face_id=other,
                similarity=0.6,
                threshold=0.5,
                model="embeddings",
                rule="another" if next(numbers) % ANOTHER_ONE_IN == 0 else "core",
            )
            for pk in pks
            for other in set(others[pk - 1]) - {pk}
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
