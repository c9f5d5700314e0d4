"""Having a worker make a vector of what is searched for: words, or a picture that is not stored.

A row carries the question to the worker and the answer back, so that it works with any broker, also the one
inside the process. Answers to words are kept for a while: the next page asks nobody.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta

import numpy as np
from django.utils import timezone

from intelligence import capabilities, hints
from intelligence.models import SearchEncoding
from intelligence.search import STORES, QueryVector

ANSWER_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.005
LONGEST_PAUSE_SECONDS = 0.05
KEPT = timedelta(days=1)
MOST_KEPT = 10_000

NO_TEXT = (
    "The model {model} understands no text: install a CLIP model for the workers (a compute service knows no "
    "words), or search by an image or a picture instead."
)
NO_ANSWER = (
    "No worker has answered within {seconds:.0f} s. See that a worker of the queue `queries` runs, then try "
    "again."
)


class CannotEncodeError(Exception):
    """Nobody can make a vector of it now; the message says what to do."""


class UnusablePictureError(ValueError):
    """The picture is the reason."""


def vectors_of_text(text: str) -> list[QueryVector]:
    """Raises CannotEncodeError."""
    model = STORES["clip"]().current_model() or ""
    told = capabilities.read(model)
    if told is not None and not told.understands_text:
        raise CannotEncodeError(NO_TEXT.format(model=model))
    key = hashlib.sha256(f"{model}\0{text}".encode()).hexdigest()
    SearchEncoding.objects.filter(pk=key).exclude(error="").delete()  # what failed is tried again
    SearchEncoding.objects.get_or_create(key=key, defaults={"space": "clip", "text": text, "model": model})
    [row] = _answers([key])
    if row.error:
        raise CannotEncodeError(row.error)
    return [_query_vector(row)]


def vectors_of_picture(file_path: str, spaces: Iterable[str]) -> list[QueryVector]:
    """`file_path` lies in the media folder until this returns.

    Raises CannotEncodeError or UnusablePictureError.
    """
    made = SearchEncoding.objects.bulk_create(
        SearchEncoding(
            key=secrets.token_hex(32),
            space=space,
            file_path=file_path,
            model=STORES[space]().current_model() or "",
        )
        for space in spaces
    )
    keys = [row.key for row in made]
    try:
        rows = _answers(keys)
    finally:
        SearchEncoding.objects.filter(pk__in=keys).delete()
    for row in rows:
        if row.error:
            raise (UnusablePictureError if row.is_permanent else CannotEncodeError)(row.error)
    return [_query_vector(row) for row in rows]


def forget_old() -> None:
    """Answers that are a day old, and the oldest of very many."""
    SearchEncoding.objects.filter(created_at__lt=timezone.now() - KEPT).delete()
    newest = SearchEncoding.objects.order_by("-created_at").values_list("created_at", flat=True)
    if (last := newest[MOST_KEPT : MOST_KEPT + 1].first()) is not None:
        SearchEncoding.objects.filter(created_at__lte=last).delete()


def _answers(keys: Sequence[str]) -> list[SearchEncoding]:
    """In the order of `keys`. Whoever else waits for the same gets the same."""
    if not (answered := _answered(keys)):
        hints.encode(keys)
        deadline, pause = time.monotonic() + ANSWER_SECONDS, FIRST_PAUSE_SECONDS
        while not (answered := _answered(keys)):
            if time.monotonic() > deadline:
                raise CannotEncodeError(NO_ANSWER.format(seconds=ANSWER_SECONDS))
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    return answered


def _answered(keys: Sequence[str]) -> list[SearchEncoding]:
    """Empty until all are."""
    rows = SearchEncoding.objects.in_bulk(keys)
    is_done = all(key in rows and (rows[key].vector is not None or rows[key].error) for key in keys)
    return [rows[key] for key in keys] if is_done else []


def _query_vector(row: SearchEncoding) -> QueryVector:
    assert row.vector is not None
    return QueryVector(row.space, row.model, np.frombuffer(row.vector, dtype="<f4"))
