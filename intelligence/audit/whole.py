"""The whole audit: entities and files, what was found on images, vectors, the spool, the MQTT broker."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from entities.audit import looking, mending
from entities.audit.findings import BATCH_SIZE, Finding, Outcome, Scope, batched
from entities.audit.findings import Kind as EntityKind
from entities.storage import EntityStorageService
from intelligence.audit import retained, rows
from intelligence.audit.kinds import Kind
from intelligence.errand_notes import ErrandError

Ask = Callable[..., Any]
"""Has an errand done, in this process or by a worker, as `errands.ask` does."""
Ended = tuple[Finding, Outcome]

MOST_REPORTED = 10_000
"""Of each kind, in an answer over HTTP; the numbers are of all."""

ORPHANED_FILES = {
    *(EntityKind.ORPHANED_FILE, EntityKind.ORPHANED_PREVIEW, EntityKind.LEFTOVER),
    *(Kind.ORPHANED_CROP, Kind.LEFTOVER_CROP),
}
ORPHANS = {*ORPHANED_FILES, Kind.ORPHANED_FACE, Kind.ORPHANED_VECTOR, Kind.ORPHANED_STATUS}

ROWS: Mapping[str, Callable[[EntityStorageService, Scope, Finding], Outcome]] = {
    Kind.WRONG_FACE_COUNT: rows.count_faces_again,
    Kind.ORPHANED_FACE: rows.remove_face,
    Kind.FACE_WITHOUT_CROP: rows.find_faces_again,
    Kind.DAMAGED_CROP: rows.find_faces_again,
    Kind.ORPHANED_CROP: rows.put_crop_away,
    Kind.LEFTOVER_CROP: rows.put_crop_away,
}


@dataclass
class Auditor:
    storage: EntityStorageService
    scope: Scope
    ask: Ask
    unseen: list[str] = field(default_factory=list)
    """What could not be looked at, and why."""

    def look(self) -> Iterator[Finding]:
        yield from looking.look(self.storage, self.scope)
        yield from rows.look(self.storage, self.scope)
        for part in (self._jobs, self._vectors, self._spool, self._statuses):
            try:
                yield from part()
            except ErrandError as error:
                self.unseen.append(str(error))

    def _jobs(self) -> Iterator[Finding]:
        for span in rows.spans():
            found = self.ask("look at jobs", first=span.first, last=span.last)
            yield from (Finding(Kind.LOST_JOB, task, entity_id=pk) for task, pk in found)

    def _vectors(self) -> Iterator[Finding]:
        for version in self.ask("versions"):
            after: int | None = -1
            told = {"version": version["id"], "settled_before": self.scope.settled_before.isoformat()}
            while after is not None:
                found = self.ask("look at vectors", after=after, **told)
                for kind, name in ((Kind.LOST_VECTOR, "lost"), (Kind.ORPHANED_VECTOR, "orphans")):
                    for pk in found[name]:
                        where = {"collection": version["collection"], "model": version["model"]}
                        yield Finding(kind, vector_id=pk, **where)
                after = found["last"]

    def _spool(self) -> Iterator[Finding]:
        yield from (Finding(Kind.LEFTOVER_JOB, name) for name in self.ask("look at the spool"))

    def _statuses(self) -> Iterator[Finding]:
        yield from retained.look(self.scope.settled_before)

    # --- Mending ---

    def mend(self, findings: Iterable[Finding]) -> Iterator[Ended]:
        """Can be stopped at any moment: what was not mended is found again."""
        for batch in batched(findings, BATCH_SIZE):
            by_kind: dict[str, list[Finding]] = defaultdict(list)
            for finding in batch:
                by_kind[finding.kind].append(finding)
            for kind, of_kind in by_kind.items():
                yield from self._mend_kind(kind, of_kind)

    def _mend_kind(self, kind: str, findings: list[Finding]) -> Iterable[Ended]:
        if kind in list(EntityKind):
            return mending.mend(self.storage, self.scope, EntityKind(kind), findings)
        if kind in ROWS:
            mend = ROWS[kind]
            return ((each, mend(self.storage, self.scope, each)) for each in findings)
        return TOGETHER[Kind(kind)](self, findings)

    def _bring_results(self, findings: Sequence[Finding]) -> Iterator[Ended]:
        self.ask("reconcile", entity_ids=[each.entity_id for each in findings])
        yield from ((each, Outcome.ASKED) for each in findings)

    def _redo_jobs(self, findings: Sequence[Finding]) -> Iterator[Ended]:
        images: dict[str, list[int | None]] = defaultdict(list)
        for each in findings:
            images[each.note].append(each.entity_id)
        self.ask("mend jobs", images=images)
        yield from ((each, Outcome.ASKED) for each in findings)

    def _ask_for_vectors(self, findings: Sequence[Finding]) -> Iterator[Ended]:
        yield from self._mend_vectors("lost", Outcome.ASKED, findings)

    def _remove_vectors(self, findings: Sequence[Finding]) -> Iterator[Ended]:
        yield from self._mend_vectors("orphans", Outcome.MENDED, findings)

    def _mend_vectors(self, what: str, outcome: Outcome, findings: Sequence[Finding]) -> Iterator[Ended]:
        for version in self.ask("versions"):
            here = [
                each
                for each in findings
                if (each.collection, each.model) == (version["collection"], version["model"])
            ]
            if here:
                ids = [each.vector_id for each in here]
                done = set(self.ask("mend vectors", version=version["id"], **{what: ids}))
                yield from ((each, outcome if each.vector_id in done else Outcome.GONE) for each in here)

    def _clear_spool(self, findings: Sequence[Finding]) -> Iterator[Ended]:
        self.ask("clear the spool")
        yield from ((each, Outcome.MENDED) for each in findings)

    def _take_statuses_back(self, findings: Sequence[Finding]) -> Iterator[Ended]:
        ids = [each.entity_id for each in findings if each.entity_id is not None]
        taken = retained.take_back(ids, self.scope.settled_before)
        yield from ((each, Outcome.MENDED if each.entity_id in taken else Outcome.GONE) for each in findings)


TOGETHER: Mapping[Kind, Callable[[Auditor, Sequence[Finding]], Iterator[Ended]]] = {
    Kind.MISSING_RESULTS: Auditor._bring_results,  # noqa: SLF001  (its own table)
    Kind.LOST_JOB: Auditor._redo_jobs,  # noqa: SLF001
    Kind.LOST_VECTOR: Auditor._ask_for_vectors,  # noqa: SLF001
    Kind.ORPHANED_VECTOR: Auditor._remove_vectors,  # noqa: SLF001
    Kind.LEFTOVER_JOB: Auditor._clear_spool,  # noqa: SLF001
    Kind.ORPHANED_STATUS: Auditor._take_statuses_back,  # noqa: SLF001
}


def auditor(
    ask: Ask, *, grace_seconds: float | None = None, since: datetime | None = None, deep: bool = False
) -> Auditor:
    grace = timedelta(seconds=settings.AUDIT_GRACE_SECONDS if grace_seconds is None else grace_seconds)
    scope = Scope(timezone.now() - grace, since, deep)
    return Auditor(EntityStorageService.from_settings(), scope, ask)


# --- Over HTTP ---


def report(ask: Ask) -> dict[str, Any]:
    """What clients know of: what belongs to nothing; and the numbers of all that is wrong."""
    audit = auditor(ask)
    numbers: Counter[str] = Counter()
    files, faces, vectors, statuses = [], [], [], []
    for each in audit.look():
        numbers[each.kind] += 1
        if numbers[each.kind] > MOST_REPORTED:
            continue
        if each.kind in ORPHANED_FILES:
            absolute = str(audit.storage.media_root / (each.file_path or ""))
            files.append({"file_path": each.file_path, "absolute_path": absolute})
        elif each.kind == Kind.ORPHANED_FACE:
            faces.append({"face_id": each.face_id, "entity_id": each.entity_id, "file_path": each.file_path})
        elif each.kind == Kind.ORPHANED_VECTOR:
            vectors.append({"vector_id": each.vector_id, "collection_name": each.collection})
        elif each.kind == Kind.ORPHANED_STATUS:
            statuses.append({"entity_id": each.entity_id, "topic": each.topic})
    return {
        "orphaned_files": files,
        "orphaned_faces": faces,
        "orphaned_vectors": vectors,
        "orphaned_mqtt": statuses,
        "numbers": dict(numbers),
        "not_looked_at": audit.unseen,
    }


def clear_orphans(ask: Ask) -> dict[str, int]:
    audit = auditor(ask)
    done: Counter[str] = Counter()
    for each, outcome in audit.mend(each for each in audit.look() if each.kind in ORPHANS):
        done[each.kind] += outcome is Outcome.MENDED
    return {
        "files_deleted": sum(done[kind] for kind in ORPHANED_FILES),
        "faces_deleted": done[Kind.ORPHANED_FACE],
        "vectors_deleted": done[Kind.ORPHANED_VECTOR],
        "mqtt_cleared": done[Kind.ORPHANED_STATUS],
    }
