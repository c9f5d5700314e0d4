"""Settles what greedy assignment could not: one step, shown before it is taken, and undone like any other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils import timezone

from entities.models import ServiceConfig
from intelligence.models import Face, KnownPerson, PeopleOperation
from intelligence.people.journal import Journal, written
from intelligence.recognition.plans import Plan, is_stale, make_plan
from intelligence.recognition.recogniser import calibration
from intelligence.wanted_models import WantedModels
from vectors import QdrantVectorStore

MARK = "people_reclustered"
ATTEMPTS = 3
RECOGNISES_NOBODY = (
    "The model that reads faces recognises nobody: there is nothing to cluster. Install one that does."
)
CHANGED = "People were changed while this was worked out; nothing was done. Run it again."


class ReclusterError(Exception):
    """Nothing was changed; the message says why."""


@dataclass(frozen=True)
class Result:
    plan: Plan
    operation: int | None
    """To undo it by; None where nothing was to be changed, or was not to be."""

    def as_json(self) -> dict[str, Any]:
        return {
            "figures": self.plan.figures(),
            "operation": self.operation,
            "dropped": list(self.plan.dropped),
            "moves": [
                [move.face, move.person_before, move.person]
                for move in self.plan.moves
                if move.person != move.person_before
            ],
        }


@dataclass(frozen=True)
class Recluster:
    models: WantedModels
    store: QdrantVectorStore

    def nightly(self) -> Result | None:
        """Only where something has changed since the last time, and only what is near to that."""
        since = _last_time()
        if since is not None and not _changed_since(since):
            return None
        return self.run(since=since)

    def run(self, *, dry_run: bool = False, since: datetime | None = None) -> Result:
        calibrated = calibration(self.models)
        if calibrated is None:
            raise ReclusterError(RECOGNISES_NOBODY)
        for _ in range(ATTEMPTS):
            plan = make_plan(self.store, calibrated, since=since)
            if dry_run:
                return Result(plan, None)
            operation = _apply(plan)
            if operation is not None:
                ServiceConfig.objects.update_or_create(key=MARK, defaults={"value": plan.made_at.isoformat()})
                return Result(plan, operation.pk)
        raise ReclusterError(CHANGED)


def _apply(plan: Plan) -> PeopleOperation | None:
    """None where the plan does not hold any more."""
    with written(PeopleOperation.Kind.RECLUSTER, by=None) as journal:
        faces = {face.pk: face for face in journal.lock_faces(Q(pk__in=[move.face for move in plan.moves]))}
        if is_stale(plan):
            return None
        _move(journal, plan, faces)
        for person in KnownPerson.objects.filter(pk__in=plan.dropped).order_by("pk"):
            journal.remove_person(person)
        told = (f"{number} {what}" for what, number in plan.figures().items() if number)
        journal.operation.summary = f"Re-clustered: {', '.join(told)}"
    return journal.operation


def _move(journal: Journal, plan: Plan, faces: dict[int, Face]) -> None:
    made = {number: journal.make_person() for number in plan.new_people}
    alike: dict[tuple[int | None, str], list[Face]] = defaultdict(list)
    for move in plan.moves:
        person = made[move.person].pk if move.person in made else move.person
        alike[person, move.standing].append(faces[move.face])
    for (person, standing), moved in alike.items():
        assigned_by = None if person is None else Face.AssignedBy.AUTO
        journal.set_faces(moved, known_person_id=person, assigned_by=assigned_by, standing=standing)


def _last_time() -> datetime | None:
    row = ServiceConfig.objects.filter(key=MARK).first()
    return datetime.fromisoformat(row.value) if row is not None and isinstance(row.value, str) else None


def _changed_since(since: datetime) -> bool:
    operations = PeopleOperation.objects.exclude(kind=PeopleOperation.Kind.RECLUSTER)
    return (
        Face.objects.filter(recognised_at__gt=since).exists()
        or operations.filter(at__gt=since, at__lte=timezone.now()).exists()
    )
