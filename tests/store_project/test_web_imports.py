from __future__ import annotations

import os
import subprocess
import sys

from store_project.config import BASE_DIR

PROGRAM = """
import sys
from store_project.wsgi import application
from django.urls import reverse

reverse("admin:index")  # reads every route, and with it every view
print(*sorted(name for name in sys.modules if name in {forbidden}))
"""
FORBIDDEN = {
    "cv2",
    "httpx",
    "intelligence.compute",
    "intelligence.jobs",
    "intelligence.tasks",
    "onnxruntime",
    "paho",
    "qdrant_client",
}


def test_a_web_process_loads_no_model_runtime() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(forbidden=FORBIDDEN)],
        cwd=BASE_DIR,
        env={**os.environ, "PYTHONPATH": str(BASE_DIR)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
