"""What has been done since with the same people and faces, so that an operation cannot go back."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from django.db.models import Q, QuerySet

from intelligence.models import PeopleChange, PeopleOperation
from intelligence.people.errors import ConflictError
from intelligence.people.facts import differing

Kind, Of = PeopleOperation.Kind, PeopleChange.Of
BATCH_SIZE = 5000


def require_nothing_later(operation: PeopleOperation, effects: Collection[PeopleChange]) -> None:
    """Raises ConflictError that names the newest of them."""
    found = max(_later(operation, effects), default=None)
    if found is not None:
        newest = PeopleOperation.objects.get(pk=found)
        raise ConflictError(
            f"Operation {newest.pk} came later and concerns the same: {newest.summary}. Undo that first."
        )


def _later(operation: PeopleOperation, effects: Collection[PeopleChange]) -> Iterator[int]:
    since = _since(operation)
    faces = {each.face for each in effects if each.face is not None}
    # What the machine has made of a face since then does not outweigh what a user wants back.
    by_equals = since if operation.kind == Kind.RECLUSTER else since.exclude(operation__kind=Kind.RECLUSTER)
    for batch in _batched(faces):
        yield from by_equals.filter(face__in=batch).values_list("operation_id", flat=True)
    for of in (Of.PERSON, Of.DISTINCTION):
        changed = {each.row: each for each in effects if each.of == of}
        for batch in _batched(changed):
            for later in since.filter(of=of, row__in=batch):
                if _overlap(changed[later.row], later):
                    yield later.operation_id


def _since(operation: PeopleOperation) -> QuerySet[PeopleChange]:
    """Without what was undone, and without undoing that: together they changed nothing."""
    later = PeopleChange.objects.filter(operation__gt=operation.pk, operation__undone_in__isnull=True)
    return later.exclude(Q(operation__kind=Kind.UNDO) & Q(operation__undoes__gt=operation.pk))


def _overlap(one: PeopleChange, other: PeopleChange) -> bool:
    return bool(differing(one.before, one.after) & differing(other.before, other.after))


def _batched(ids: Iterable[int]) -> Iterator[list[int]]:
    ordered = sorted(ids)
    return (ordered[start : start + BATCH_SIZE] for start in range(0, len(ordered), BATCH_SIZE))
