from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path, PurePosixPath

from django.db.models import Exists, Max, OuterRef
from django.utils import timezone

from entities import counting
from entities.audit.findings import BATCH_SIZE, Finding, Kind, Scope, batched
from entities.audit.tree import files_below, is_whole_png, written_at
from entities.models import DiscardedFile, Entity
from entities.storage import ABANDONED_SECONDS, INCOMING, INTENT, EntityStorageService, read_chunks
from entities.versions import History

SPAN = 20_000
"""Ids of history that one query looks at."""

_PREVIEW = re.compile(r"previews/([0-9a-f]{2})/([0-9a-f]{2})/(\1\2[0-9a-f]{28})\.png")
_STREAM = re.compile(r"streams/(?P<type>.+)/media_(?P<id>[0-9]{1,18})/[^/]+")

Row = tuple[int, str, str, int | None]
"""Id, MD5, path, size."""


def look(storage: EntityStorageService, scope: Scope) -> Iterator[Finding]:
    root = storage.media_root
    lost = {}
    for finding in lost_entities(scope):
        lost[finding.file_path] = finding
        yield finding
    yield from _files_of_rows(root, scope)
    yield from _unnamed_files(root, scope, kept=lost.keys())
    yield from _previews(root, scope)
    yield from _streams(root, scope)
    yield from _unfinished_uploads(root)
    yield from (
        Finding(Kind.WRONG_COUNT, entity_id=parent, note="of what lies in it, or 0 at the top, -1 in all")
        for parent in counting.miscounted()
    )


def lost_entities(scope: Scope) -> Iterator[Finding]:
    """By the last version of each entity that has no row."""
    newest: int = History.objects.aggregate(newest=Max("id"))["newest"] or 0
    for start in range(0, newest + 1, SPAN):
        without_row = ~Exists(Entity.all_rows.filter(pk=OuterRef("id")))
        gone = History.objects.filter(without_row, id__gte=start, id__lt=start + SPAN).order_by()
        last = gone.values("id").annotate(last=Max("history_id")).values("last")
        alive = History.objects.filter(history_id__in=last, **scope.of("history_date")).exclude(
            history_type="-"
        )
        for row in list(alive.order_by("id").values("id", "file_path")):
            yield Finding(Kind.LOST_ENTITY, entity_id=row["id"], file_path=row["file_path"])


# --- From the rows to the files ---


def _files_of_rows(root: Path, scope: Scope) -> Iterator[Finding]:
    files = Entity.all_rows.filter(is_collection=False, **scope.of("updated_date")).order_by("pk")
    last = 0
    while batch := _rows(files.filter(pk__gt=last)[:BATCH_SIZE]):
        last = batch[-1][0]
        if suspects := [row[0] for row in batch if _fault(root, row, scope)]:
            # A file may have gone between the two looks because its row had: only who says the same counts.
            for row in _rows(files.filter(pk__in=suspects)):
                if (fault := _fault(root, row, scope)) is not None:
                    yield fault


def _rows(files: Iterable[Entity]) -> list[Row]:
    return list(files.values_list("pk", "md5", "file_path", "file_size"))  # type: ignore[attr-defined]


def _fault(root: Path, row: Row, scope: Scope) -> Finding | None:
    pk, md5, file_path, size = row
    path = root / file_path
    try:
        found = path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return Finding(Kind.MISSING_FILE, entity_id=pk, file_path=file_path)
    if size is not None and found != size:
        note = f"{found} bytes instead of {size}"
        return Finding(Kind.ALTERED_FILE, note, entity_id=pk, file_path=file_path)
    if scope.deep and md5_of(path) != md5:
        return Finding(Kind.ALTERED_FILE, "other bytes", entity_id=pk, file_path=file_path)
    return None


def md5_of(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in read_chunks(path):
        digest.update(chunk)
    return digest.hexdigest()


# --- From the files to the rows ---


def _unnamed_files(root: Path, scope: Scope, *, kept: Iterable[str | None]) -> Iterator[Finding]:
    """`kept` are of rows that are lost. Files whose removal is noted down are the sweep's."""
    spared = set(kept)
    for batch in batched(files_below(root, "store")):
        named = named_among(batch)
        suspects = [path for path in batch if path not in named and path not in spared]
        noted = (
            DiscardedFile.objects.filter(file_path__in=suspects) if suspects else DiscardedFile.objects.none()
        )
        going = set(noted.values_list("file_path", flat=True))
        settled = (path for path in suspects if path not in going and is_settled(root / path, scope))
        yield from (Finding(Kind.ORPHANED_FILE, file_path=path) for path in settled)


def named_among(paths: Sequence[str]) -> set[str]:
    """By the MD5 in the name, which has an index."""
    md5s = {PurePosixPath(path).stem for path in paths}
    named = Entity.all_rows.filter(md5__in=md5s).order_by().values_list("file_path", flat=True)
    return {path for path in named if path}


def _previews(root: Path, scope: Scope) -> Iterator[Finding]:
    for batch in batched(files_below(root, "previews")):
        md5s = {path: match[3] for path in batch if (match := _PREVIEW.fullmatch(path))}
        wanted = set(
            Entity.all_rows.filter(md5__in=set(md5s.values())).order_by().values_list("md5", flat=True)
        )
        for path in batch:
            if (kind := _fault_of_preview(root / path, is_wanted=md5s.get(path) in wanted)) and is_settled(
                root / path, scope
            ):
                yield Finding(kind, file_path=path)


def _fault_of_preview(path: Path, *, is_wanted: bool) -> Kind | None:
    if path.name.startswith(".") and path.suffix == ".tmp":
        return Kind.LEFTOVER
    if not is_wanted:
        return Kind.ORPHANED_PREVIEW
    return None if is_whole_png(path) else Kind.DAMAGED_PREVIEW


def _streams(root: Path, scope: Scope) -> Iterator[Finding]:
    for batch in batched(files_below(root, "streams")):
        owners = {path: owner_of_stream(path) for path in batch}
        ids = {pk for pk in owners.values() if pk is not None}
        living = set(Entity.all_rows.filter(pk__in=ids).order_by().values_list("pk", flat=True))
        strange = (path for path, pk in owners.items() if pk not in living)
        settled = (path for path in strange if is_settled(root / path, scope))
        yield from (Finding(Kind.ORPHANED_FILE, file_path=path) for path in settled)


def owner_of_stream(path: str) -> int | None:
    match = _STREAM.fullmatch(path)
    return int(match["id"]) if match else None


def _unfinished_uploads(root: Path) -> Iterator[Finding]:
    """An upload may take long, so these have a grace of their own: the one of the sweep that removes them."""
    before = timezone.now() - timedelta(seconds=ABANDONED_SECONDS)
    for path in files_below(root, INCOMING):
        written = written_at(root / path)
        if written is not None and written < before and not path.endswith(INTENT):
            yield Finding(Kind.LEFTOVER, file_path=path)


def is_settled(path: Path, scope: Scope) -> bool:
    written = written_at(path)
    return written is not None and scope.has(written)
