"""A part of benchmarks/search.py in a process of its own: serves, and writes vectors meanwhile.

As the callbacks of finished jobs do it in `manage.py serve`: in a thread of the process that answers, and
through the same store. The arguments are the model, the file of vectors, and those of `serve`; the
environment says in which folder.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "store_project.settings"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
django.setup()

from django.core.management import call_command  # noqa: E402  (after the setup)

from benchmarks import clustered  # noqa: E402
from benchmarks.writing import keep_writing  # noqa: E402
from vectors import get_clip_store  # noqa: E402


def main(model: str, vectors: Path, *serve: str) -> None:
    stop = threading.Event()
    writer = threading.Thread(
        target=keep_writing, args=(get_clip_store(), model, clustered.mapped(vectors), stop)
    )
    writer.start()
    try:
        call_command("serve", *serve)
    finally:
        stop.set()
        writer.join()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
