"""Workers are killed, messages lost and doubled, photos replaced and removed; then all must be right.

    python -m tests.chaos --seed 7 --minutes 10 --images 3000
    python -m tests.chaos --compute remote     # by a compute service that answers 500, forgets and hangs up

Needs PostgreSQL and Redis on 127.0.0.1. Exit code 0: every image has exactly the results of its content.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.chaos.actors import Actor, Clock, Killer, Postman, User
from tests.chaos.services import Service
from tests.contracts.compute_service import PASSWORD, USERNAME, ComputeService, serving
from tests.deployment import Deployment, deployed
from tests.pictures import jpeg

AT_REST = """
    SELECT COUNT(*) FROM entities_entity e
    LEFT JOIN intelligence_imageintelligence i ON i.entity_id = e.id AND i.md5 = e.md5
    WHERE e.type = 'image' AND NOT e.is_deleted
    AND (i.processing_status IS NULL OR i.processing_status NOT IN ('completed', 'failed'))
"""
UNFINISHED = """
    SELECT i.entity_id, i.processing_status, i.error_message, e.is_deleted, i.updated_at::time,
           j.id, j.task_type, j.status, j.attempts, j.not_before::time, j.updated_at::time, j.error_message
    FROM entities_entity e JOIN intelligence_imageintelligence i ON i.entity_id = e.id
    LEFT JOIN intelligence_entityjob j ON j.entity_id = e.id
    WHERE i.processing_status NOT IN ('completed', 'failed')
    OR j.status IN ('pending', 'queued', 'in_progress') ORDER BY e.id, j.id
"""
LIVE_JOBS = "SELECT COUNT(*) FROM intelligence_entityjob WHERE status IN ('pending', 'queued', 'in_progress')"


def main() -> int:
    arguments = _arguments()
    folder = Path(tempfile.mkdtemp(prefix="store-chaos-"))
    print(f"seed {arguments.seed}, in {folder}", flush=True)
    with ExitStack() as stack:
        service = stack.enter_context(serving(wants_login=True)) if arguments.compute == "remote" else None
        deployment = stack.enter_context(deployed(folder, **_login_at(service)))
        os.environ.update(deployment.env)  # the clock sends by the broker that the settings name
        wrong = _torment(deployment, arguments, service)
    for line in wrong:
        print(f"WRONG: {line}")
    if wrong:
        print(f"{len(wrong)} violations; the files are in {folder}")
        return 1
    shutil.rmtree(folder)
    print("all is right")
    return 0


def _login_at(service: ComputeService | None) -> dict[str, str]:
    if service is None:
        return {}
    login = {"COMPUTE_USERNAME": USERNAME, "COMPUTE_PASSWORD": PASSWORD}
    return {
        "COMPUTE_SERVICE_URL": service.url,
        "AUTH_SERVICE_URL": service.url,
        "COMPUTE_TIMEOUT_SECONDS": "4",
        **login,
    }


def _torment(
    deployment: Deployment, arguments: argparse.Namespace, service: ComputeService | None
) -> list[str]:
    seed = str(arguments.seed)
    user = User(seed, deployment, arguments.images, arguments.minutes * 60)
    postman, killer = Postman(seed, deployment), Killer(seed, deployment, arguments.workers)
    clock = Clock(seed)
    computes = [Service(seed, service, deployment)] if service is not None else []
    actors: list[Actor] = [user, postman, killer, clock, *computes]
    try:
        for actor in actors:
            actor.start()
        _wait(lambda: not user.uploads_left or not user.is_alive(), arguments.minutes * 60)
        for actor in (user, postman, killer):
            actor.stop()
        for compute in computes:
            compute.recover()
        _report(actors, user)
        at_rest = _rests(deployment, arguments.patience)
        if at_rest and _given_up(deployment):
            deployment.manage("intelligence", "retry", "--failed")
            at_rest = _rests(deployment, arguments.patience)
        for actor in (clock, *computes):
            actor.stop()
    finally:
        killer.kill_all()
    if not at_rest:
        return [f"not ended within {arguments.patience} s: {row}" for row in deployment.query(UNFINISHED)]
    failed = [f"entity {pk} failed: {reason}" for pk, reason in _given_up(deployment)]
    return [*failed, *deployment.at_rest().violations(), *_not_as_uploaded(deployment, user)]


def _rests(deployment: Deployment, patience: float) -> bool:
    began = time.monotonic()
    rests = _wait(lambda: _unfinished(deployment) == 0, patience)
    given_up = len(_given_up(deployment))
    print(f"{time.monotonic() - began:.0f} s until all rests; {given_up} images were given up", flush=True)
    return rests


def _unfinished(deployment: Deployment) -> int:
    return sum(int(deployment.query(sql)[0][0]) for sql in (AT_REST, LIVE_JOBS))


def _not_as_uploaded(deployment: Deployment, user: User) -> list[str]:
    """What was answered 2xx is there, and nothing else."""
    stored = {
        pk: (md5, gone)
        for pk, md5, gone in deployment.query("SELECT id, md5, is_deleted FROM entities_entity")
    }
    expected = {
        pk: (hashlib.md5(jpeg(photo), usedforsecurity=False).hexdigest(), pk in user.in_trash)
        for pk, photo in user.accepted.items()
    }
    if stored == expected:
        return []
    different = [pk for pk in stored.keys() | expected.keys() if stored.get(pk) != expected.get(pk)]
    return [f"entity {pk} is {stored.get(pk)}, not {expected.get(pk)}" for pk in sorted(different)]


def _given_up(deployment: Deployment) -> list[tuple[int, str]]:
    """By chance one image is at work each time that a worker dies."""
    failed = "FROM intelligence_imageintelligence WHERE processing_status = 'failed'"
    return [(pk, reason) for pk, reason in deployment.query(f"SELECT entity_id, error_message {failed}")]


def _report(actors: list[Actor], user: User) -> None:
    counts = sum((actor.counts for actor in actors), Counter[str]())
    done = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    print(
        f"{done}; {len(user.accepted)} images are left, {len(user.in_trash)} of them in the trash", flush=True
    )


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="repeats a run's choices")
    parser.add_argument("--minutes", type=float, default=1.0, help="at most so long (default %(default)s)")
    parser.add_argument("--images", type=int, default=300, help="uploads (default %(default)s)")
    parser.add_argument("--compute", choices=["fake", "remote"], default="fake", help="(default %(default)s)")
    parser.add_argument("--workers", type=int, default=3, help="processes (default %(default)s)")
    parser.add_argument(
        "--patience", type=float, default=90.0, help="seconds to come to rest in (default %(default)s)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
