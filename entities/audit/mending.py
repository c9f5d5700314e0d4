"""Acts on findings: each is looked at once more under its lock, and only what is still so is mended.

Files are put into quarantine, never deleted. Whatever stops it, the next run finds what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from django.db import transaction

from entities import counting, disposal, locks, quarantine
from entities.audit.findings import Finding, Kind, Outcome, Scope
from entities.audit.looking import is_settled, named_among, owner_of_stream
from entities.audit.tree import is_whole_png
from entities.models import Entity
from entities.signals import media_changed
from entities.storage import INCOMING, EntityStorageService
from entities.versions import CONTENT_FIELDS, History

Mend = Callable[[EntityStorageService, Scope, Finding], Outcome]


def mend(
    storage: EntityStorageService, scope: Scope, kind: Kind, findings: Sequence[Finding]
) -> Iterator[tuple[Finding, Outcome]]:
    """`findings` are all of that kind."""
    if kind is Kind.WRONG_COUNT:
        yield from _count_again(findings)
        return
    for finding in findings:
        yield finding, MENDING[kind](storage, scope, finding)


def _leave(_storage: EntityStorageService, _scope: Scope, _finding: Finding) -> Outcome:
    """The bytes are nowhere else: they come back when somebody uploads them again, or from a backup."""
    return Outcome.LEFT


def _count_again(findings: Sequence[Finding]) -> Iterator[tuple[Finding, Outcome]]:
    """All are counted at once, whichever are wrong."""
    wrong = set(counting.miscounted())
    if wrong:
        with transaction.atomic():
            counting.count_again()
    for finding in findings:
        yield finding, Outcome.MENDED if finding.entity_id in wrong else Outcome.GONE


def _put_away_unnamed(storage: EntityStorageService, scope: Scope, finding: Finding) -> Outcome:
    """Held while it moves: the lock that whoever gives this content to an entity holds."""
    path = finding.file_path or ""
    with transaction.atomic():
        locks.hold(locks.content(PurePosixPath(path).stem))
        owner = owner_of_stream(path)
        is_named = path in named_among([path]) or Entity.all_rows.filter(pk__in=[owner]).exists()
        return _put_away(storage, scope, path, still_so=not is_named)


def _put_away_preview(storage: EntityStorageService, scope: Scope, finding: Finding) -> Outcome:
    path = finding.file_path or ""
    md5 = PurePosixPath(path).stem
    with transaction.atomic():
        locks.hold(locks.content(md5))
        return _put_away(storage, scope, path, still_so=not Entity.all_rows.filter(md5=md5).exists())


def _put_away_damaged(storage: EntityStorageService, scope: Scope, finding: Finding) -> Outcome:
    """It is made anew when it is next asked for."""
    path = finding.file_path or ""
    return _put_away(storage, scope, path, still_so=not is_whole_png(storage.resolve(path)))


def _put_away_leftover(storage: EntityStorageService, scope: Scope, finding: Finding) -> Outcome:
    path = finding.file_path or ""
    if PurePosixPath(path).parts[0] == INCOMING:
        disposal.dispose(storage)
        return Outcome.MENDED if storage.remove_abandoned() else Outcome.GONE
    return _put_away(storage, scope, path, still_so=True)


def _put_away(storage: EntityStorageService, scope: Scope, path: str, *, still_so: bool) -> Outcome:
    if not (still_so and is_settled(storage.resolve(path), scope)):
        return Outcome.GONE
    return Outcome.MENDED if quarantine.put_away(storage, path) else Outcome.GONE


# --- Rows that are lost ---


def _bring_back(storage: EntityStorageService, _scope: Scope, finding: Finding) -> Outcome:
    """As its last version says. What lies in a collection that is lost as well stands at the top until the
    collection is there again: it is older, so it comes first.
    """
    with transaction.atomic():
        locks.hold(locks.HIERARCHY)
        last = History.objects.filter(id=finding.entity_id).order_by("history_id").last()
        if last is None or last.history_type == "-":
            return Outcome.GONE
        if last.md5:
            locks.hold(locks.content(last.md5))
        return _insert(storage, last)


def _insert(storage: EntityStorageService, last: Any) -> Outcome:
    if Entity.all_rows.filter(pk=last.id).exists():
        return Outcome.GONE
    if last.md5 and (Entity.all_rows.filter(md5=last.md5).exists() or not storage.exists(last.file_path)):
        return Outcome.LEFT
    entity = Entity(pk=last.id, **{name: getattr(last, name) for name in CONTENT_FIELDS})
    if not Entity.all_rows.filter(pk__in=[entity.parent_id], is_collection=True).exists():
        entity.parent_id = None
    entity._change_reason = "Its row was lost."  # noqa: SLF001  (simple_history's way)
    entity.save(force_insert=True)
    media_changed.send(Entity, entity_id=entity.pk)
    return Outcome.MENDED


MENDING: Mapping[Kind, Mend] = {
    Kind.LOST_ENTITY: _bring_back,
    Kind.MISSING_FILE: _leave,
    Kind.ALTERED_FILE: _leave,
    Kind.ORPHANED_FILE: _put_away_unnamed,
    Kind.ORPHANED_PREVIEW: _put_away_preview,
    Kind.DAMAGED_PREVIEW: _put_away_damaged,
    Kind.LEFTOVER: _put_away_leftover,
}
