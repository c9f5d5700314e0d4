"""A part of benchmarks/sweeps_at_scale.py in a process of its own: does what recurs, several times each."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "store_project.settings"
django.setup()

from intelligence import figures, story  # noqa: E402  (after the setup)
from intelligence.models import EntityJob, EntitySyncState, ImageIntelligence  # noqa: E402
from intelligence.processing import get_processing  # noqa: E402

TIMES = 5


def main() -> None:
    processing = get_processing()
    last = ImageIntelligence.objects.order_by("-pk").values_list("pk", flat=True)[0]
    processing.jobs.models.wanted()  # the first question writes down which models are current

    def hand_out_to_all() -> None:
        assert processing.jobs.dispatch()

    def find_no_room() -> None:
        assert processing.jobs.dispatch() == 0

    def sweep_images() -> None:
        EntitySyncState.objects.update(swept_up_to=last // 2)
        assert processing.sweeper.sweep_images() == 0

    def read_nothing_new() -> None:
        assert processing.processor.reconcile().read == 0

    def recognise_nobody() -> None:
        assert not processing.recogniser.recognise()

    found = {
        "hand out, with room": _median(hand_out_to_all, again=_make_room),
        "hand out, without room": _median(find_no_room),
        "sweep of jobs": _median(processing.sweeper.sweep_jobs),
        "sweep of images": _median(sweep_images),
        "reconcile": _median(read_nothing_new),
        "recognise": _median(recognise_nobody),
        "status": _median(figures.read_figures),
        "explain": _median(lambda: story.tell(last // 2)),
    }
    print(json.dumps(found))


def _median(act: Callable[[], object], *, again: Callable[[], object] | None = None) -> float:
    """Milliseconds."""
    times = []
    for number in range(TIMES):
        if number and again is not None:
            again()
        began = time.perf_counter()
        act()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def _make_room() -> None:
    """As if what was handed out had failed at once: the next images are other ones."""
    live = EntityJob.objects.live()
    statuses = {f"{of}_status": "failed" for of in ("processing", "face_detection", "clip", "dino")}
    ImageIntelligence.objects.filter(pk__in=live.values("entity_id")).update(**statuses)
    live.update(status="failed")


if __name__ == "__main__":
    main()
