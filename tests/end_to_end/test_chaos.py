from __future__ import annotations

import subprocess
import sys

import pytest

from store_project.config import BASE_DIR

pytestmark = [pytest.mark.services("postgresql", "redis"), pytest.mark.timeout(400)]


def chaos(*options: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seed", "1", *options],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_everything_ends_right_whatever_happens_on_the_way() -> None:
    """Under two minutes; CONTRIBUTING says how to run it for longer."""
    told = chaos("--minutes", "0.75", "--images", "300")
    assert "killed" in told
    assert "lost" in told


def test_with_a_compute_service_that_answers_500_forgets_and_hangs_up() -> None:
    told = chaos("--compute", "remote", "--minutes", "0.5", "--images", "150", "--patience", "200")
    assert "service restarted" in told
    assert "killed" in told
