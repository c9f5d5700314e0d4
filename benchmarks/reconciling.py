"""A part of benchmarks/pipeline.py in a process of its own: reads a long history, bare and as we do."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "store_project.settings"
django.setup()

from django.db import transaction  # noqa: E402  (after the setup)

from entities.versions import SNAPSHOT_FIELDS, History  # noqa: E402
from intelligence.models import ImageIntelligence  # noqa: E402
from intelligence.processing import get_processing  # noqa: E402
from intelligence.reconcile import BATCH_SIZE  # noqa: E402


def main() -> None:
    began = time.monotonic()
    inserted = _bare()
    bare_seconds = time.monotonic() - began
    ImageIntelligence.objects.all().delete()

    processor = replace(get_processing().processor, seconds=math.inf)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident now
    before = _peak_mib()
    began = time.monotonic()
    versions = processor.reconcile().read
    seconds = time.monotonic() - began
    assert ImageIntelligence.objects.count() == inserted
    figures = {"versions": versions, "seconds": seconds, "bare_seconds": bare_seconds}
    print(json.dumps({**figures, "growth_mib": _peak_mib() - before}))


def _bare() -> int:
    seen: set[int] = set()
    for batch in _batches():
        new = {row["id"]: row for row in batch if row["md5"] and row["id"] not in seen}
        seen.update(new)
        with transaction.atomic():
            ImageIntelligence.objects.bulk_create(
                ImageIntelligence(
                    entity_id=pk, md5=row["md5"], version=row["history_id"], image_path=row["file_path"]
                )
                for pk, row in new.items()
            )
    return len(seen)


def _batches() -> Iterator[list[dict[str, Any]]]:
    last = 0
    while batch := list(
        History.objects.filter(history_id__gt=last)
        .order_by("history_id")
        .values(*SNAPSHOT_FIELDS)[:BATCH_SIZE]
    ):
        last = batch[-1]["history_id"]
        yield batch


def _peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) / 1024


if __name__ == "__main__":
    main()
