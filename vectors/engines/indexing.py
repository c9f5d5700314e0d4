"""The child process that makes the search index of a copied shard."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PROJECT = Path(__file__).resolve().parents[2]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Indexing:
    collection: str
    copy: Path
    process: subprocess.Popen[str]

    @classmethod
    def start(cls, collection: str, copy: Path) -> Self:
        command = [sys.executable, "-m", "vectors.engines.edge", str(copy)]
        process = subprocess.Popen(  # noqa: S603 - this interpreter, a module and a folder of our own
            command,
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        return cls(collection, copy, process)

    def is_over(self) -> bool:
        return self.process.poll() is not None

    def succeeded(self) -> bool:
        _, errors = self.process.communicate()
        if self.process.returncode != 0:
            logger.error(
                "Indexing %s ended with status %s: %s",
                self.collection,
                self.process.returncode,
                errors[-2000:],
            )
        return self.process.returncode == 0

    def cancel(self) -> None:
        self.process.kill()
        self.process.communicate()
