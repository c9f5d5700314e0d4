from __future__ import annotations

from pathlib import Path

import pytest

from tests.factories import jpeg
from tests.processes import Manage
from tests.store_at_rest import violations


@pytest.mark.timeout(180)
def test_it_works(manage: Manage, server_dir: Path) -> None:
    """Real photos and their variants: each variant's nearest neighbour is of its own family."""
    demo = manage("demo")

    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stdout.count(" completed ") == 85
    assert "store and look" in demo.stdout
    assert violations(server_dir) == []

    again = manage("demo")
    assert again.returncode == 1
    assert "holds data already" in again.stderr


def test_ones_own_photos(manage: Manage, server_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.jpg").write_bytes(jpeg(1))
    demo = manage("demo", str(tmp_path / "mine.jpg"))

    assert demo.returncode == 0, demo.stderr
    assert "mine.jpg" in demo.stdout


def test_models_know_their_size_whatever_is_configured(
    manage: Manage, server_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.jpg").write_bytes(jpeg(1))
    demo = manage("demo", str(tmp_path / "mine.jpg"), CLIP_VECTOR_SIZE="100")

    assert demo.returncode == 0, demo.stderr
    assert violations(server_dir) == []
