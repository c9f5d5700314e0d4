"""Rows about images, with each other and with the crops on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from entities import quarantine
from entities.audit.findings import BATCH_SIZE, Finding, Outcome, Scope, batched
from entities.audit.looking import is_settled
from entities.audit.tree import files_below, is_whole_png
from entities.storage import EntityStorageService
from intelligence import disagreements, rows
from intelligence.audit.kinds import Kind
from intelligence.disagreements import Span
from intelligence.models import Face, ImageIntelligence
from intelligence.vocabulary import Priority, TaskType

SPAN = 20_000

FaceRow = tuple[int, int, str]
"""Id, entity, path of the crop."""


def spans() -> Iterator[Span]:
    first: int | None = 0
    while first is not None:
        span = Span.after(first, SPAN)
        yield span
        first = span.last


def look(storage: EntityStorageService, scope: Scope) -> Iterator[Finding]:
    for span in spans():
        yield from _unknown_images(span, scope)
        yield from _miscounted(span, scope)
    yield from _faces(storage.media_root, scope)
    yield from _crops(storage.media_root, scope)


def _unknown_images(span: Span, scope: Scope) -> Iterator[Finding]:
    for batch in batched(disagreements.without_current_row(span)):
        settled = disagreements.pictures(span).filter(pk__in=batch, **scope.of("updated_date"))
        found = settled.order_by("pk").values_list("pk", flat=True)
        yield from (Finding(Kind.MISSING_RESULTS, entity_id=pk) for pk in found)


def _miscounted(span: Span, scope: Scope) -> Iterator[Finding]:
    found = disagreements.miscounting_faces(span).filter(**scope.of("updated_at"))
    for pk in found.order_by("pk").values_list("pk", flat=True):
        yield Finding(Kind.WRONG_FACE_COUNT, entity_id=pk)


# --- Faces and their crops ---


def _faces(root: Path, scope: Scope) -> Iterator[Finding]:
    faces = Face.objects.filter(**scope.of("created_at")).order_by("pk")
    last = 0
    while batch := _face_rows(faces.filter(pk__gt=last)[:BATCH_SIZE]):
        last = batch[-1][0]
        if suspects := [row[0] for row in batch if _fault(root, row)]:
            for row in _face_rows(faces.filter(pk__in=suspects)):  # as they are by now
                if (kind := _fault(root, row)) is not None:
                    yield _of_face(kind, row)
    for row in _face_rows(orphaned_faces().filter(**scope.of("created_at"))):
        yield _of_face(Kind.ORPHANED_FACE, row)


def orphaned_faces() -> QuerySet[Face]:
    known = ImageIntelligence.objects.filter(pk=OuterRef("entity_id"))
    return Face.objects.filter(~Exists(known)).order_by("pk")


def _face_rows(faces: QuerySet[Face]) -> list[FaceRow]:
    return list(faces.values_list("pk", "entity_id", "file_path"))


def _fault(root: Path, row: FaceRow) -> Kind | None:
    path = root / row[2]
    if not path.is_file():
        return Kind.FACE_WITHOUT_CROP
    return None if is_whole_png(path) else Kind.DAMAGED_CROP


def _of_face(kind: Kind, row: FaceRow) -> Finding:
    return Finding(kind, face_id=row[0], entity_id=row[1], file_path=row[2])


def _crops(root: Path, scope: Scope) -> Iterator[Finding]:
    for batch in batched(files_below(root, "faces")):
        named = _named(batch)
        for path in batch:
            if path not in named and is_settled(root / path, scope):
                kind = Kind.LEFTOVER_CROP if path.endswith(".part") else Kind.ORPHANED_CROP
                yield Finding(kind, file_path=path)


def _named(paths: list[str]) -> set[str]:
    """By the entity after which the folder is named."""
    folders = {PurePosixPath(path).parent.name for path in paths}
    ids = [int(name) for name in folders if name.isascii() and name.isdigit() and len(name) < MAX_DIGITS]
    faces = Face.objects.filter(entity_id__in=ids).order_by()
    return set(faces.values_list("file_path", flat=True))


MAX_DIGITS = 19


# --- Mending ---


def find_faces_again(_storage: EntityStorageService, _scope: Scope, finding: Finding) -> Outcome:
    """The detection replaces all faces of the image; what people have said of them is kept by its place."""
    assert finding.entity_id is not None
    asked = rows.make_pending([finding.entity_id], TaskType.FACE_DETECTION, Priority.REDO)
    return Outcome.ASKED if asked else Outcome.GONE


def count_faces_again(_storage: EntityStorageService, _scope: Scope, finding: Finding) -> Outcome:
    assert finding.entity_id is not None
    with transaction.atomic():
        rows.lock_entity(finding.entity_id)
        one = Span(finding.entity_id - 1, finding.entity_id)
        return Outcome.MENDED if disagreements.count_faces_again(one) else Outcome.GONE


def remove_face(_storage: EntityStorageService, _scope: Scope, finding: Finding) -> Outcome:
    """Its vector and its crop have no owner then: they are found and put away by themselves."""
    assert finding.entity_id is not None
    with transaction.atomic():
        rows.lock_entity(finding.entity_id)
        removed, _ = orphaned_faces().filter(pk__in=[finding.face_id]).delete()
    return Outcome.MENDED if removed else Outcome.GONE


def put_crop_away(storage: EntityStorageService, scope: Scope, finding: Finding) -> Outcome:
    """A detection writes its crops while it holds the entity."""
    path = finding.file_path or ""
    owner = PurePosixPath(path).parent.name
    with transaction.atomic():
        if owner.isascii() and owner.isdigit() and len(owner) < MAX_DIGITS:
            rows.lock_entity(int(owner))
        if path in _named([path]) or not is_settled(storage.resolve(path), scope):
            return Outcome.GONE
        return Outcome.MENDED if quarantine.put_away(storage, path) else Outcome.GONE
