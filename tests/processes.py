from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from store_project.config import BASE_DIR


@dataclass(frozen=True)
class Manage:
    """Runs manage.py in a process of its own, over a server's folder of its own."""

    server_dir: Path

    def __call__(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        own = {"CL_SERVER_DIR": str(self.server_dir), "DATABASE_URL": ""}
        return subprocess.run(
            [sys.executable, BASE_DIR / "manage.py", *args],
            env={**os.environ, **own, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
