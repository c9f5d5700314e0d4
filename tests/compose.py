"""docker-compose.yml without Docker: the commands, the environment and the health checks that are written
there, run as they stand, each under a host name of its own, on services that are there already."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from store_project.config import BASE_DIR
from tests import own_services, qdrant_service
from tests.deployment import LOOPBACK, free_port, own_database, own_redis_database
from tests.mqtt import own_topic_port

COMPOSE: dict[str, Any] = yaml.safe_load((BASE_DIR / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "store"]
END_SECONDS = 40


@dataclass
class Composed:
    folder: Path
    port: int
    elsewhere: Mapping[str, str]
    """What is at another place here than in the network of the containers."""
    variables: Mapping[str, str]
    """Of the `.env`."""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        declared = SERVICES[name]["environment"]
        own = {variable: self._here(str(value)) for variable, value in declared.items()}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {"PATH": path, "HOSTNAME": name, "ENV_FILE": "", **own}

    def start(self, name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                self._under_its_name(name, shlex.split(self._here(SERVICES[name]["command"]))),
                cwd=BASE_DIR,
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.processes[name]

    def is_healthy(self, name: str) -> bool:
        kind, *test = SERVICES[name]["healthcheck"]["test"]
        here = [self._here(word).replace("$$", "$") for word in test]
        command = here if kind == "CMD" else ["sh", "-c", *here]
        done = subprocess.run(
            self._under_its_name(name, command),
            cwd=BASE_DIR,
            env=self.environment(name),
            capture_output=True,
            timeout=60,
            check=False,
        )
        return done.returncode == 0

    def stop(self, name: str) -> int:
        process = self.processes[name]
        process.send_signal(signal.SIGTERM)
        return process.wait(END_SECONDS)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def _here(self, text: str) -> str:
        there = "|".join(map(re.escape, self.elsewhere))
        text = re.sub(there, lambda found: self.elsewhere[found[0]], text)
        return re.sub(r"\$\{(\w+):-(.*?)\}", lambda found: self.variables.get(found[1], found[2]), text)

    @staticmethod
    def _under_its_name(name: str, command: list[str]) -> list[str]:
        """As a container has one; workers are told apart by it."""
        return [
            own_services.program("unshare"),
            "--map-root-user",
            "--uts",
            "sh",
            "-c",
            'hostname "$0" && exec "$@"',
            name,
            *command,
        ]


@contextmanager
def composed(folder: Path, **variables: str) -> Iterator[Composed]:
    """Nothing of it is started. What still runs at the end is killed."""
    with ExitStack() as stack:
        for sub_folder in ("data", "secrets", "tmp"):
            (folder / sub_folder).mkdir(parents=True)
        (folder / "secrets" / "postgres_password").write_text("not asked for here\n")
        port = free_port()
        topics = stack.enter_context(own_topic_port())
        elsewhere = {
            "postgresql://store@postgres:5432/store": stack.enter_context(own_database()),
            "redis://redis:6379/0": stack.enter_context(own_redis_database()),
            "http://qdrant:6333": stack.enter_context(qdrant_service.running()),
            "mosquitto": LOOPBACK,
            "/run/secrets": str(folder / "secrets"),
            "/data": str(folder / "data"),
            "/tmp/": f"{folder}/tmp/",  # noqa: S108
            "8001": str(port),
        }
        made = Composed(folder, port, elsewhere, {"STORE_PORT": str(topics), **variables})
        stack.callback(_kill_all, made)
        yield made


def _kill_all(made: Composed) -> None:
    for process in made.processes.values():
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(END_SECONDS)
